"""What no sender of good will puts on the stream, through the real job: it runs on, and nothing is missing."""

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stores.lake import DEAD_LETTERS, EVENT_STORE, Lake
from stores.project import linked
from tests.builders import PROJECT, encode, event
from tests.integration import cluster
from tests.integration.cluster import Arrival
from tests.jsontestsuite import cases
from tests.leaves import leaves
from udfs.model import DOCUMENTED_COLUMNS

NOW = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
ACME = linked(PROJECT, "acme")
MIB = 2**20
TIMES = [name for name, kind in DOCUMENTED_COLUMNS.items() if kind is datetime]
ODD_TIMES = {
    "0001-01-01 00:00:00.000001": "0001-01-01 00:00:00",
    "1582-10-10 00:00:00": "1582-10-10 00:00:00",
    "1969-12-31 23:59:59.999999": "1969-12-31 23:59:59.999",
    "1970-01-01 00:00:00.000001": "1970-01-01 00:00:00.000001",
    "9999-12-31 23:59:59.999999": "9999-12-31 23:59:59.999999",
}
"""Times as they are sent and as they are stored."""


def hostile() -> Iterator[bytes]:
    """The 318 cases of JSONTestSuite, records of 10 MiB, a million keys, depth bombs and compression bombs."""
    yield from (data for _, data in cases())
    for number in range(3):
        yield encode(event(uuid=f"large-{number}", event_properties={"text": "밤" * (3 * MIB)}))
    for time in ODD_TIMES:
        yield encode(event(uuid=time, **dict.fromkeys(TIMES, time)))
    yield encode(event(uuid="keys", **{f"key{number}": number for number in range(400_000)}))
    yield b"{" + b",".join(b'"k%d":%d' % (number, number) for number in range(600_000)) + b"}"
    yield b"[" * 10 * MIB
    yield b'{"app":' * MIB
    yield gzip.compress(b"\0" * 300 * MIB)
    yield gzip.compress((encode(event(uuid="again")) + b"\n") * 10_000)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as export:
        for hour in range(5):
            lines = b"\n".join(encode(event(uuid=f"{hour}-{number}")) for number in range(200))
            export.writestr(f"434735_2026-03-15_{hour}#0.json.gz", gzip.compress(lines))
    yield archive.getvalue()


def outcomes(payloads: list[bytes]) -> tuple[Counter[tuple[str, str]], int]:
    """Dead letters by kind and reason, and records that are events, by the rules in this process."""
    at, registry = NOW.replace(tzinfo=None), {PROJECT: ACME}
    rows = [leaf.row for payload in payloads for leaf in leaves(payload, at, registry)]
    return Counter((row[0], row[1]) for row in rows if row[1]), sum(row[0] == "event" for row in rows)


def test_hostile_records_stop_nothing_and_all_have_an_outcome(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [ACME])
    fed = list(hostile())
    dead, events = outcomes(fed)
    env = cluster.build(where, 1, timedelta(days=40))
    cluster.write(where.records, "1.json", [Arrival(data, NOW, "shardId-0", str(i)) for i, data in enumerate(fed)])
    with cluster.running(env) as job:
        # a restart would fail the job: its strategy is `none`
        cluster.at_rest(where, job, dead.total() + events)
    lake = Lake(where.settings.lake_address)
    found = lake.rows(DEAD_LETTERS).to_pylist()
    assert Counter((row["kind"], row["reason"]) for row in found) == dead
    assert lake.rows(EVENT_STORE, ("identity",)).num_rows == 3 + len(ODD_TIMES) + 1 + 1 + 5 * 200
    times = lake.rows(EVENT_STORE, ("uuid", "client_event_time")).to_pylist()
    assert {row["uuid"]: row["client_event_time"] for row in times if row["uuid"] in ODD_TIMES} == {
        sent: datetime.fromisoformat(stored).replace(tzinfo=UTC) for sent, stored in ODD_TIMES.items()
    }
    singles = [row for row in found if row["sub_index"] is None and row["payload_sha256"] is None]
    assert len(singles) > 50
    assert all(row["payload"] == fed[int(row["sequence"])] for row in singles)
    cut = [row for row in found if row["payload_sha256"] is not None]
    assert {len(row["payload"]) for row in cut} == {MIB}
    assert all(row["payload_length"] > MIB for row in cut)
