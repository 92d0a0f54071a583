"""The real ingest graph between ends of a test: records from files, everything else as in production."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

import settings
from jobs import gateway
from jobs.ingest import ends, graph, submit
from lab.proofs import report
from lab.proofs.report import Report
from lab.stack.machine import QUICK_JOBS
from lab.stack.patience import Deadline, scaled
from settings import Settings
from stores.cohorts import Cohorts
from stores.project import Project
from stores.projects import Projects

# A type error must fail the test, not restart it.
OPTIONS = {
    "execution.checkpointing.interval": "1 s",
    "execution.checkpointing.unaligned.enabled": "true",
    "restart-strategy.type": "none",
    "state.backend.type": "rocksdb",
    "pipeline.object-reuse": "true",
    "python.fn-execution.bundle.time": "200",
    "python.fn-execution.bundle.size": "20000",
    "python.fn-execution.arrow.batch.size": "500",
    **QUICK_JOBS,
}
SECONDS = 120


class Arrival(NamedTuple):
    """One record as Kinesis hands it over."""

    payload: bytes
    arrival: datetime
    shard: str
    sequence: str


class Place(NamedTuple):
    """Where a test's records come from and where its tables are."""

    records: Path
    settings: Settings


def place(
    folder: Path,
    dynamodb_endpoint: str,
    registered: Sequence[Project],
    cohorts: Mapping[str, int] = MappingProxyType({}),
    lake: Mapping[str, str] = MappingProxyType({}),
) -> Place:
    """Fresh tables with these projects registered, and cohorts by id for their projects.

    `lake` are settings of the warehouse, in place of a folder beside the records.
    """
    (folder / "records").mkdir()
    tree = {
        "ingest": {"projects_refresh_seconds": 1},
        "dynamodb": {"endpoint": dynamodb_endpoint, "table_prefix": f"{folder.name}-"},
        "lake": {
            "catalog_uri": f"sqlite:///{folder}/catalog.db",
            "warehouse": f"file://{folder}/warehouse",
            **lake,
        },
    }
    config = settings.parse(tree, source="test")
    submit.create_tables(config)
    for project in registered:
        Projects(config.tables_address).add(project)
        Projects(config.tables_address).take_snapshots(project.project_id, project.snapshot_hours)
    for cohort_id, project_id in cohorts.items():
        Cohorts(config.tables_address).add(cohort_id, project_id)
    return Place(folder / "records", config)


def register(where: Place, project: Project) -> None:
    """Register one more project and wait until every worker must have refreshed its copy."""
    Projects(where.settings.tables_address).add(project)
    time.sleep(scaled(1.5))


def write(records: Path, name: str, arrivals: Sequence[Arrival]) -> None:
    """Add a file of records; it appears whole."""
    lines = (
        json.dumps(
            {
                "payload": b64encode(one.payload).decode(),
                "arrival": f"{one.arrival:%Y-%m-%d %H:%M:%S}.{one.arrival.microsecond // 1000:03d}Z",
                "shard": one.shard,
                "sequence": one.sequence,
            }
        )
        for one in arrivals
    )
    draft = records.parent / name
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.rename(records / name)


def build(where: Place, parallelism: int, window: timedelta) -> StreamExecutionEnvironment:
    """The graph as `jobs.ingest` builds it, on this process's mini cluster."""
    configuration = Configuration()
    for key, value in OPTIONS.items():
        configuration.set_string(key, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_parallelism(parallelism)
    tables = gateway.table_environment(env)
    given = ends.production(tables, where.settings, records(tables, where.records))
    graph.build(env, tables, given, graph.Rules(window, timedelta(seconds=1)))
    return env


def records(tables: StreamTableEnvironment, folder: Path) -> Any:
    # unbounded: processing-time windows do not fire at the end of bounded input
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE records (
            payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING
        ) WITH ('connector' = 'filesystem', 'path' = 'file://{folder}', 'format' = 'json',
                'json.timestamp-format.standard' = 'SQL', 'source.monitor-interval' = '200 ms')
    """)
    return tables.from_path("records")


@contextmanager
def running(env: StreamExecutionEnvironment) -> Iterator[Any]:
    """The job while it runs; cancelled at the end."""
    job = env.execute_async("test")
    try:
        yield job
    finally:
        if job.get_job_status().result().name in {"RUNNING", "INITIALIZING", "CREATED", "RESTARTING"}:
            job.cancel().result()


def at_rest(where: Place, job: Any, records: int) -> Report:
    """What the tables say once all records have an outcome and totals and event store agree."""
    return until(
        lambda: report.gather(where.settings), lambda found: found.records == records and found.at_rest, job
    )


def until(read: Callable[[], Any], done: Callable[[Any], bool], job: Any) -> Any:
    """Read until it is as wanted. Fails with the last reading, or with the reason why the job has ended."""
    deadline = Deadline(SECONDS)
    while not done(found := read()):
        if job.get_job_status().result().name == "FAILED":
            job.get_job_execution_result().result()
        assert not deadline.over, f"not at rest after {deadline.elapsed:.0f} s: {found}"
        time.sleep(0.3)
    return found
