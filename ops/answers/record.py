"""What the job would do with the bytes of a file, and why, without a job.

The file is one record or an archive of them. Its parts are decoded one after the other by the job's own rules;
what stays in memory is the file, the member of the archive that is open, and the hash of each identity.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from ops.answers.aggregates import note
from ops.answers.outcomes import Row, Summary
from stores.project import Project, linked
from stores.rules import Rules
from udfs import kpl, model, text
from udfs.attribute import Registry
from udfs.decode import Opened, decode, decode_part, opened
from udfs.envelope import Form, Limits, Spent
from udfs.intake import MacKeys
from udfs.model import DECODED, Kind, Reason, Rejection

_UUID_BYTES: Final = 16
_NO_KEYS: Final = MacKeys(None)


def summarise(
    payload: bytes,
    arrival: datetime,
    registry: Registry,
    tell: Callable[[int], None] = lambda _: None,
    keys: MacKeys = _NO_KEYS,
) -> Summary:
    """What the job would do with these bytes, had they arrived then; `tell` hears how many records are done.

    By the `keys` an envelope of the intake is believed.
    """

    summary, notes = Summary(), dict[str, None]()

    def rows(record: bytes) -> Iterator[Row]:
        whole = _named(decode(record, arrival, registry))
        if whole["kind"] != Kind.ENVELOPE:
            yield whole
            return
        summary.form = summary.form or whole["detail"]
        found = _parts(record, keys, lambda spent: notes.update(_as_one_record(len(record), spent)))
        for data, fault, key_project, _, scopes in found:
            yield _named(decode_part(b"" if fault else data, fault, arrival, registry, key_project, scopes))

    if inside := kpl.opened(payload):  # the connector opens it: each record is handed over as if it stood alone
        summary.form, summary.by_connector = Form.KPL, True
        notes[note(inside)] = None
        handed = inside.records[: inside.handed_over]
        _count(summary, (row for one in handed for row in rows(one.data)), tell)
        summary.drop(len(inside.dropped))
    else:
        _count(summary, rows(payload), tell)
    summary.note = " ".join(notes) or None
    return summary


def _of_archive(size: int) -> Limits:
    """Bounds that no archive of events meets: however it is compressed, the uuid of each takes its bytes.

    The ratio of all records stays: it stops decompression bombs.
    """
    parts = max(Limits().parts, size // _UUID_BYTES)
    return Limits(opened_bytes=2**40, parts=parts, steps=Limits().steps + size // 2)


def _named(row: model.Row) -> Row:
    return dict(zip(DECODED, row, strict=True))


def _parts(payload: bytes, keys: MacKeys, tell: Callable[[Spent], None]) -> Iterator[Opened]:
    try:
        yield from opened(payload, keys, _of_archive(len(payload)), tell)
    except Exception as error:
        # a rule that raises is our bug, and goes the way it goes in the job
        yield Opened(payload, Rejection(Reason.INTERNAL_ERROR, repr(error)))


def _count(summary: Summary, rows: Iterable[Row], tell: Callable[[int], None]) -> None:
    seen = set[tuple[int, bytes]]()
    for number, row in enumerate(rows, 1):
        key = (row["project_id"], row["identity_hash"])
        summary.add(row, copy=key in seen)
        if row["identity_hash"]:
            seen.add(key)
        if number % 1000 == 0:
            tell(number)


def _as_one_record(size: int, spent: Spent) -> dict[str, None]:
    """In which way the job would open less of it, were it one record of the stream."""
    if size > text.MAX_BYTES:
        return {
            "As one record it does not fit on the stream: its records are judged as if each had come alone.": None
        }
    if detail := spent.beyond(Limits(), size):
        return {f"As one record the job would open it in part only ({detail}): send it in smaller parts.": None}
    return {}


class UnderRules(Mapping[int | str, Project]):
    """A registry in which every project has the same rules."""

    def __init__(self, registry: Mapping[int | str, Project], rules: Rules) -> None:
        self.registry, self.rules = registry, rules

    def __getitem__(self, key: int | str) -> Project:
        return self.registry[key]._replace(rules=self.rules)

    def __iter__(self) -> Iterator[int | str]:
        return iter(self.registry)

    def __len__(self) -> int:
        return len(self.registry)


class Everyone(Mapping[int | str, Project]):
    """A registry in which every project is linked since ever, and every cohort registered for a project 0."""

    def __getitem__(self, key: int | str) -> Project:
        return linked(key if isinstance(key, int) else 0, "(any)")

    def __iter__(self) -> Iterator[int | str]:
        return iter(())

    def __len__(self) -> int:
        return 0
