"""A stream and tables as they are; the job's part is played by its own rule, called for each record."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from click.testing import CliRunner

from jobs.sinks import COLUMNS
from ops.cli.main import commands
from settings import load
from stores.cohorts import Cohorts
from stores.lake import DEAD_LETTERS, EVENT_COUNTS, EVENT_STORE, Lake
from stores.project import Project
from stores.projects import Projects
from stores.stream import Stream
from stores.usage import UsageTable
from tests.builders import PROJECT
from tests.intake import KEY, KEYS, keys_file
from udfs import decode
from udfs.decode import leaves
from udfs.intake import MAGIC
from udfs.model import DECODED


class Bridge:
    """A stream, its tables, and the commands; `judge` does what the job would."""

    def __init__(self, config: Path) -> None:
        self.config, self.settings = config, load(config)
        self.stream, self.lake = Stream(self.settings.stream_address), Lake(self.settings.lake_address)
        self._seen: set[tuple[str, str]] = set()
        self._identities: set[tuple[int, str]] = set()

    @property
    def records(self) -> int:
        """How many records the job has read."""
        return len(self._seen)

    def put(self, *payloads: bytes) -> None:
        assert sum(self.stream.put((str(n), payload) for n, payload in enumerate(payloads))) == len(payloads)

    def judge(self, *registered: Project) -> None:
        """Decode what is new on the stream, and write the rows."""
        registry = {project.project_id: project for project in registered}
        rows: dict[str, list[dict[str, Any]]] = {EVENT_STORE: [], DEAD_LETTERS: [], EVENT_COUNTS: []}
        for shard, sequence, arrival, data in self._unread():
            parts = list(leaves(data, arrival.replace(tzinfo=None), registry, KEYS))
            request_id = next(decode.opened(data, KEYS)).request_id if data.startswith(MAGIC) else None
            for at, (payload, found) in enumerate(parts):
                row = dict(zip(DECODED, found, strict=True)) | {"arrival": arrival}
                row |= {"shard": shard, "sequence": sequence, "sub_index": at if len(parts) > 1 else None}
                row |= {"request_id": request_id}
                self._judged(rows, row, payload)
        for table, judged in rows.items():
            there = self.lake.table(table)
            schema = there.schema().as_arrow()
            there.append(pa.Table.from_pylist([{k: one.get(k) for k in schema.names} for one in judged], schema))

    def forget(self) -> None:
        """Remember no first copy, as the job does once its window is over."""
        self._identities.clear()

    def _judged(self, rows: dict[str, list[dict[str, Any]]], row: dict[str, Any], payload: bytes) -> None:
        key = row["project_id"], row["identity"]
        first = not row["reason"] and key not in self._identities
        self._identities |= {key} if first else set()
        hour = row["arrival"].replace(minute=0, second=0, microsecond=0)
        rows[EVENT_COUNTS].append({**row, "hour": hour, "records": 1, "first_copies": int(first)})
        if row["reason"]:
            rows[DEAD_LETTERS].append({**row, "payload": payload, "payload_length": len(payload)})
        elif first:
            times = {name: at.replace(tzinfo=UTC) for name, at in row.items() if isinstance(at, datetime)}
            rows[EVENT_STORE].append(row | times)

    def _unread(self) -> Iterator[tuple[str, str, datetime, bytes]]:
        client, name = self.stream.client, self.stream.address.name
        for shard in self.stream.open_shards():
            start = client.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
            for one in client.get_records(ShardIterator=start["ShardIterator"])["Records"]:
                if (shard, one["SequenceNumber"]) not in self._seen:
                    self._seen.add((shard, one["SequenceNumber"]))
                    arrival = one["ApproximateArrivalTimestamp"].astimezone(UTC)
                    yield shard, one["SequenceNumber"], arrival, one["Data"]

    def says(self, *arguments: str) -> str:
        done = CliRunner().invoke(commands, [*arguments[:1], "--config", str(self.config), *arguments[1:]])
        assert done.exit_code == 0, done.output
        return done.stdout

    def replay(self, *options: str) -> list[str]:
        return self.says("dead-letters", "replay", *options).splitlines()

    def stats(self, *options: str) -> dict[str, int]:
        found = json.loads(self.says("dead-letters", "stats", "--json", *options))
        return {row["reason"]: row["records"] for row in found}

    def letters(self, *options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.says("dead-letters", "list", "--json", *options))
        return found

    def diagnosis(self) -> dict[str, Any]:
        # of a project that is not registered too, with exit code 2
        done = CliRunner().invoke(commands, ["diagnose", "--config", str(self.config), str(PROJECT), "--json"])
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def opened(tmp_path: Path, dynamodb_endpoint: str, kinesis_endpoint: str) -> Iterator[Bridge]:
    """A new stream and its tables, in a folder of their own."""
    path = tmp_path / "job.toml"
    path.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb_endpoint}"\ntable_prefix = "{tmp_path.name}-"\n'
        f'[kinesis]\nendpoint = "{kinesis_endpoint}"\nstream = "{tmp_path.name}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}/warehouse"\n'
        "[ingest]\nprojects_refresh_seconds = 1\n"
        f'[intake]\nmac_keys_file = "{keys_file(KEY, folder=tmp_path)}"\n'
    )
    made = Bridge(path)
    made.stream.create(2)
    for name, columns in COLUMNS.items():
        made.lake.create(name, columns, [])
    for table in (Projects, Cohorts, UsageTable):
        table(made.settings.tables_address).create()
    yield made
    made.lake.catalog.close()
