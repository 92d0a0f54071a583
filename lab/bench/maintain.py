"""Days of small files, and what maintenance makes of them: `python -m lab.bench maintain`, 6 min and 2 GB of disk.

A checkpoint every 30 s leaves 2 880 files a day in each partition of the event store. Files like that are written
by Flink's own writer, of one large project, which has a partition for itself on each day; commits are one a day.
"""

import os
import time
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from pyflink.datastream import StreamExecutionEnvironment

from jobs import maintain, sinks
from jobs.ingest import submit
from lab.bench.figures import Figure, Say
from lab.stack.process import StackError
from ops.maintenance.keep import Ages, upkeep
from ops.release import flink_home
from stores import files
from stores.care import STEPS, Care, Step
from stores.files import Files
from stores.history import history_of
from stores.lake import EVENT_STORE, Condition, Lake
from stores.lake_address import LakeAddress

DAYS: Final = 4
FILES_A_DAY: Final = 2_520
ROWS_A_FILE: Final = 1_000  # Iceberg's writer looks at the size of its file every thousand rows
PROJECT: Final = 434_735
FIRST: Final = datetime(2026, 3, 1, tzinfo=UTC)
BENCHMARK: Final = "keeping the event store"
COLUMNS: Final = ("project_id", "name", "identity", "server_upload_time", "arrival", "shard", "sequence")
# a file ends at the first look: it is as large as a checkpoint of 33 events/s makes it
_ROWS = """
    INSERT INTO {table} /*+ OPTIONS('target-file-size-bytes' = '1') */
      (project_id, notifly_project, name, `identity`, server_upload_time, arrival, shard, sequence)
    SELECT {project}, 'acme-shop', CONCAT('event ', CAST(MOD(n, 40) AS STRING)), SHA256(CAST(n AS STRING)),
      TO_TIMESTAMP_LTZ({start} + n * 34, 3), TO_TIMESTAMP_LTZ({start} + n * 34, 3), 'shardId-000000000000',
      SHA1(CAST(n AS STRING)) FROM numbers_{day}
"""


class Look(NamedTuple):
    """What the event store looks like."""

    files: Files
    touched: int
    """data files that a query of one project and day reads"""
    seconds: float
    """that the query takes"""
    fingerprint: tuple[int, int]
    """of all rows: how many, and the sum of their hashes"""


def measure(say: Say) -> list[Figure]:
    """Write the days, then compact them, with the same query and a fingerprint of all rows before and after."""
    with TemporaryDirectory(prefix="bench-maintain-") as folder:
        os.environ |= {"FLINK_HOME": str(flink_home.build()), "FLINK_LOG_DIR": folder}
        address = LakeAddress(f"sqlite:///{folder}/catalog.db", f"file://{folder}/lake", "amplitude", None, "none")
        lake = Lake(address)
        sinks.create_tables(lake)
        say(f"writing {DAYS * FILES_A_DAY:,} files of {ROWS_A_FILE:,} rows")
        _write(address)
        before = _look(lake, say)
        ages = Ages(datetime.now(UTC) + timedelta(seconds=1), timedelta(0), timedelta(days=3))
        care = upkeep(lake, EVENT_STORE, history_of(lake, EVENT_STORE), {}, ages).care
        steps = [_step(address, care, step, say) for step in STEPS]
        after = _look(lake, say)
        lake.catalog.close()
    same = "ok" if before.fingerprint == after.fingerprint else "WRONG: other rows than before"
    return [
        Figure(BENCHMARK, "rows", before.fingerprint[0]),
        *_figures("before", before),
        *steps,
        *_figures("after", after),
        Figure(BENCHMARK, "a project's day, times faster", before.seconds / after.seconds),
        Figure(BENCHMARK, "fingerprint of all rows", same),
    ]


def _figures(when: str, look: Look) -> list[Figure]:
    return [
        Figure(BENCHMARK, f"data files {when}", look.files.data),
        Figure(BENCHMARK, f"their mean size {when}", look.files.bytes / look.files.data / files.MIB, "MiB"),
        Figure(BENCHMARK, f"a project's day, files touched {when}", look.touched),
        Figure(BENCHMARK, f"a project's day, {when}", look.seconds, "s"),
    ]


def _step(address: LakeAddress, care: Care, step: Step, say: Say) -> Figure:
    say(step)
    begin = time.monotonic()
    maintain.take(address, care, step)
    return Figure(BENCHMARK, step, time.monotonic() - begin, "s")


def _write(address: LakeAddress) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    env._j_stream_execution_environment.getCheckpointConfig().disableCheckpointing()
    tables = submit.table_environment(env)
    sinks.use_lake(tables, address)
    rows = FILES_A_DAY * ROWS_A_FILE
    for day in range(DAYS):
        tables.execute_sql(f"""
            CREATE TEMPORARY TABLE numbers_{day} (n BIGINT) WITH ('connector' = 'datagen',
              'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{rows - 1}')
        """)
        start = round((FIRST + timedelta(days=day)).timestamp() * 1000)
        table = sinks.lake_table(address, EVENT_STORE)
        tables.execute_sql(_ROWS.format(table=table, project=PROJECT, start=start, day=day)).wait()


def _look(lake: Lake, say: Say) -> Look:
    say("reading all rows, then those of one day")
    rows, total = 0, 0
    for piece in lake.pieces(EVENT_STORE, COLUMNS):
        rows += piece.num_rows
        total += int(np.add.reduce(pd.util.hash_pandas_object(piece.to_pandas(), index=False).to_numpy()))
    where = (
        Condition("project_id", "=", PROJECT),
        Condition("server_upload_time", ">=", FIRST + timedelta(days=1)),
        Condition("server_upload_time", "<", FIRST + timedelta(days=2)),
    )
    begin = time.monotonic()
    found = lake.rows(EVENT_STORE, ("name",), where).num_rows
    seconds = time.monotonic() - begin
    if found != FILES_A_DAY * ROWS_A_FILE:
        msg = f"a day has {found:,} rows, not {FILES_A_DAY * ROWS_A_FILE:,}"
        raise StackError(msg)
    touched = len(list(lake.scan(EVENT_STORE, ("name",), where).plan_files()))
    return Look(files.files(lake, EVENT_STORE, datetime.now(UTC).date()), touched, seconds, (rows, total % 2**64))
