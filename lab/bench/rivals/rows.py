"""What the rivals in plain Python make of a line: the event store's columns, as lab.bench.job_rival fills them.

Decoded by msgspec into a typed struct, its documentation's fastest way; maps stay the bytes they are. Texts
become times in Arrow, a batch at once.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from udfs.model import DOCUMENTED_COLUMNS, EVENT_COLUMNS, EVENT_PREFIX

_JSON_TYPES: Final[dict[type, Any]] = {dict: msgspec.Raw, datetime: str | None}
_ARROW_TYPES: Final = {
    str: pa.string(),
    dict: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", "UTC"),
}
_UPLOAD: Final = list(DOCUMENTED_COLUMNS).index("server_upload_time")
_NULL: Final = msgspec.Raw(b"null")

Event: Final = msgspec.defstruct(
    "Event",
    [
        ("app", int),
        ("event_type", str),
        *(
            (name, _JSON_TYPES.get(kind, kind | None), _NULL if kind is dict else None)
            for name, kind in DOCUMENTED_COLUMNS.items()
        ),
    ],
    rename={"insert_id": "$insert_id"},
    gc=False,
)
"""An event with the fields that have a column of their own; all others are skipped."""

decode: Final = msgspec.json.Decoder(Event).decode
"""A line, bytes or text, as an `Event`. Raises msgspec.MsgspecError when it is none."""

_fields: Final = attrgetter("app", "event_type", *DOCUMENTED_COLUMNS)


def key(event: Any) -> bytes:
    """What two copies of an event have in common, in 16 bytes: project, uuid and event type."""
    return blake2b(f"{event.app}|{event.uuid}|{event.event_type}".encode(), digest_size=16).digest()


def month(event: Any) -> tuple[int, str]:
    """Where an event counts: its project, and the month it was uploaded in."""
    return event.app, event.server_upload_time[:7]


def table(events: Sequence[Any]) -> pa.Table:
    """Events as rows of the event store, arrived now."""
    apps, types, *documented = zip(*map(_fields, events), strict=True)
    columns = {
        name: _column(values, kind)
        for (name, kind), values in zip(DOCUMENTED_COLUMNS.items(), documented, strict=True)
    }
    project_id, event_type = pa.array(apps, pa.int64()), pa.array(types, pa.string())
    project, length, uuid_length = (
        value.cast(pa.string())
        for value in (project_id, pc.utf8_length(event_type), pc.utf8_length(columns["uuid"]))
    )
    rows = len(events)
    columns |= {
        "project_id": project_id,
        "notifly_project": _join(pa.scalar("notifly-"), project),
        "month": pc.utf8_slice_codeunits(pa.array(documented[_UPLOAD], pa.string()), 0, 7),
        "name": _join(pa.scalar(EVENT_PREFIX), event_type),
        "identity": _join(
            *(pa.scalar("1|"), uuid_length, pa.scalar(":"), columns["uuid"]),
            *(pa.scalar("|"), length, pa.scalar(":"), event_type),
        ),
        "identity_rung": pa.repeat(1, rows),
        "extra": pa.nulls(rows, pa.string()),
        "repairs": pa.nulls(rows, pa.string()),
    }
    lineage = {
        "popup_trigger": pa.repeat(pa.scalar(value=False), rows),
        "arrival": pa.repeat(pa.scalar(datetime.now(UTC), _ARROW_TYPES[datetime]), rows),
        "shard": pa.repeat("shardId-000000000000", rows),
        "sequence": pa.repeat("0", rows),
        "sub_index": pa.nulls(rows, pa.int64()),
    }
    return pa.table({name: columns[name] for name in EVENT_COLUMNS} | lineage)


def write(events: Sequence[Any], path: Path) -> None:
    """One Parquet file of these events, compressed by zstd as ours are; on disk when this returns."""
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        pq.write_table(table(events), file, compression="zstd", compression_level=3)  # as parquet-java's
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def files(folder: Path) -> Iterator[Path]:
    """The input, in order."""
    yield from sorted(folder.glob("*.jsonl"))


def _column(values: Sequence[Any], kind: type) -> pa.Array:
    if kind is dict:
        texts = pa.array(map(bytes, values), pa.binary()).cast(pa.string())
        return pc.if_else(pc.equal(texts, "null"), None, texts)
    if kind is datetime:
        return pa.array(values, pa.string()).cast(pa.timestamp("us")).cast(_ARROW_TYPES[datetime])
    return pa.array(values, _ARROW_TYPES[kind])


def _join(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
