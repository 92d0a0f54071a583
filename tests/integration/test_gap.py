"""The pre-flight over a real stream, lake and DynamoDB: what the job has counted against what the stream holds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from jobs.gap import EXPORT, Gap, check, gaps
from jobs.ingest.submit import main, prepare
from jobs.sinks import COLUMNS, EXPORT_COLUMNS
from settings import Settings, load
from stores.errors import StoreError
from stores.history import committed_at
from stores.lake import DEAD_LETTERS, DELIVERIES, EVENT_STORE, EXPORT_LEDGER, LEDGER, Lake
from stores.stream import Stream
from udfs.export.redelivery import MARK

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Home(NamedTuple):
    """An installation, and how its job writes to the lake."""

    path: Path
    settings: Settings
    stream: Stream

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_address)

    @property
    def committed(self) -> datetime:
        found = committed_at(self.lake, LEDGER)
        assert found
        return found

    def put(self, *keys: str) -> list[datetime]:
        """Put a record for each key; the first arrival on each shard that has any."""
        assert sum(self.stream.put((key, b"x") for key in keys)) == len(keys)
        found = (self.stream.first_arrival(one.shard) for one in self.stream.shards())
        return [at for at in found if at]

    def count(self, shard: str, *arrivals: datetime, table: str = EVENT_STORE, stored: bool = True) -> None:
        """Let the job store and count records of these arrivals."""
        if stored:
            self.append(table, [{"arrival": at, "shard": shard} for at in arrivals])
        hours = [at.replace(minute=0, second=0, microsecond=0) for at in arrivals]
        self.append(LEDGER, [{"hour": hour, "shard": shard, "part": False, "records": 1} for hour in hours])

    def append(self, table: str, rows: list[dict[str, object]]) -> None:
        found = self.lake.table(table)
        whole = pa.Table.from_pylist(rows, schema=found.schema().as_arrow())
        found.append(whole, snapshot_properties={"flink.job-id": "j"})


@pytest.fixture
def home(tmp_path: Path, dynamodb_endpoint: str, kinesis_endpoint: str) -> Home:
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        f'[kinesis]\nendpoint = "{kinesis_endpoint}"\nstream = "{tmp_path.name}"\n'
        f'[export]\nstream = "{tmp_path.name}-export"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    settings = load(path)
    lake, stream = Lake(settings.lake_address), Stream(settings.stream_address)
    for name, columns in COLUMNS.items():
        lake.create(name, columns, [])
    stream.create(2)
    return Home(path, settings, stream)


def test_kinesis_says_what_time_it_is_and_how_long_it_keeps_records(home: Home) -> None:
    now = home.stream.now()
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)
    created = home.stream.retention(now).created
    assert abs(created - now) < MINUTE
    assert home.stream.retention(now).since == created
    assert home.stream.retention(now + 3 * DAY).since == now + 2 * DAY


def test_a_fresh_installation_has_no_gap(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.put("a", "b")
    prepare(home.settings)
    assert gaps(home.lake, home.stream, home.stream.now() + 3 * DAY) == []
    assert capsys.readouterr().err == ""


def test_no_gap_while_the_stream_holds_the_last_record_that_was_counted(home: Home) -> None:
    arrivals = home.put("a", "b")
    first, second = home.stream.open_shards()
    home.count(first, arrivals[0])
    home.count(second, arrivals[1], table=DEAD_LETTERS)
    home.put("a", "b")
    # the emulator never forgets: what is held counts, not the retention period
    assert gaps(home.lake, home.stream, home.stream.now() + 3 * DAY) == []


def test_a_silent_shard_of_a_young_stream_is_no_gap(home: Home) -> None:
    (arrival,) = home.put("a")
    home.count(home.stream.open_shards()[0], arrival)
    prepare(home.settings)


def test_no_gap_where_all_records_of_the_last_hour_were_copies(home: Home) -> None:
    arrivals = home.put("a", "b")
    for shard, arrival in zip(home.stream.open_shards(), arrivals, strict=True):
        home.count(shard, arrival, stored=False)
    assert gaps(home.lake, home.stream, home.stream.now() + HOUR) == []


def test_a_gap_is_from_what_was_read_to_what_is_still_held(home: Home) -> None:
    arrivals = home.put("a")
    first, second = home.stream.open_shards()
    long_ago = arrivals[0] - 3 * HOUR
    home.count(first, long_ago)
    home.count(second, long_ago - 50 * DAY)
    later = home.stream.now() + 25 * HOUR
    # the stream is younger than ten minutes, so the job has read everything since it is there
    created = home.stream.retention(later).created
    assert gaps(home.lake, home.stream, later) == [
        Gap(first, created, arrivals[0]),
        Gap(second, created, later - DAY),
    ]


def test_children_of_a_split_that_were_never_read_are_named(home: Home) -> None:
    arrivals = home.put("a", "b")
    for shard, arrival in zip(home.stream.open_shards(), arrivals, strict=True):
        home.count(shard, arrival)
    split, other = home.stream.open_shards()
    home.stream.split(split)
    children = [one.shard for one in home.stream.shards() if split in one.parents]
    assert len(children) == 2
    assert gaps(home.lake, home.stream, home.stream.now() + HOUR) == []
    later = home.stream.now() + 25 * HOUR
    found = gaps(home.lake, home.stream, later)
    assert [one.shard for one in found] == children
    assert {one[1:] for one in found} == {(arrivals[0], later - DAY)}
    assert other not in {one.shard for one in found}


def test_the_export_job_has_a_gap_where_message_events_have_expired(home: Home) -> None:
    stream = Stream(home.settings.export_stream_address)
    stream.create(1)
    (shard,) = stream.open_shards()
    for name, columns in EXPORT_COLUMNS.items():
        home.lake.create(name, columns, [])
    assert check(home.settings, stream, EXPORT) == 0
    # a redelivery is counted where its event arrived first: it says nothing of what was read
    assert sum(stream.put([("k", MARK + b"1}")])) == 1
    assert (stream.first_arrival(shard) is None, stream.first_arrival(shard, MARK)) == (False, None)
    assert sum(stream.put([("k", b"{}")])) == 1
    arrival = stream.first_arrival(shard, MARK)
    assert arrival
    long_ago = {"hour": arrival - 3 * HOUR, "arrival": arrival - 3 * HOUR, "shard": shard}
    home.append(DELIVERIES, [{name: long_ago[name] for name in ("arrival", "shard")}])
    home.append(EXPORT_LEDGER, [{name: long_ago[name] for name in ("hour", "shard")} | {"events": 1}])
    later = stream.now() + 25 * HOUR
    created = stream.retention(later).created
    assert gaps(home.lake, stream, later, EXPORT) == [Gap(shard, created, arrival)]
    assert gaps(home.lake, stream, stream.now() + HOUR, EXPORT) == []


@pytest.fixture
def late(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same, a day and an hour after the job has counted its last records, which are gone."""
    for shard in home.stream.open_shards():
        home.count(shard, datetime.now(UTC) - HOUR)
    now = Stream.now
    monkeypatch.setattr(Stream, "now", lambda stream: now(stream) + 25 * HOUR)
    return home


def test_a_gap_stops_the_start_in_one_line(late: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoreError) as caught:
        prepare(late.settings)
    line = str(caught.value)
    assert "\n" not in line
    assert all(shard in line for shard in late.stream.open_shards())
    assert f"{late.stream.retention(late.stream.now()).created:%Y-%m-%dT%H:%M:%SZ}" in line
    assert "--set kinesis.on_gap=continue" in line

    assert main(["--config", str(late.path)]) == 2
    assert capsys.readouterr().err.startswith("jobs.ingest: records of Kinesis stream")


def test_a_gap_is_told_of_once_when_the_start_shall_go_on(late: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(load(late.path, ["kinesis.on_gap=continue"])) == len(late.stream.open_shards())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jobs.ingest: records of Kinesis stream")
