"""Whether the job, restored from here, would commit its rows: Iceberg skips what it takes for committed already.

Its committer compares checkpoint ids with the newest one that the restored job has committed, and skips without a
word (apache/iceberg#10892). So a checkpoint older than that loses the rows of all in between, and a job that was
stopped with --drain all rows for ever: a drained commit has the largest id there is.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from stores.errors import StoreError
from stores.lake import Lake

DRAINED: Final = 2**63 - 1
_PATH_OPTIONS: Final = ("execution.state-recovery.path", "execution.savepoint.path")
# as Flink names them: checkpoints under the job's id, savepoints with its first six digits
_JOB: Final = re.compile(r"/([0-9a-f]{32})/chk-\d+/*$|/savepoint-([0-9a-f]{6})-[0-9a-f]+/*$")


def check(env: StreamExecutionEnvironment, lake: Lake, tables: Iterable[str]) -> None:
    """Raise StoreError when the job is to be restored from where commits would be skipped."""
    options: dict[str, str] = dict(env._j_stream_execution_environment.getConfiguration().toMap())
    path = next((options[name] for name in _PATH_OPTIONS if name in options), None)
    if path is None:
        return
    job = job_of(path)
    committed = [one for table in tables if (one := lake.committed_checkpoint(table, job)) is not None]
    if committed and (problem := refusal(path, checkpoint_id(path), max(committed))):
        raise StoreError(problem)


def job_of(path: str) -> str:
    """The id of the job that has left a checkpoint or savepoint, or how it begins; empty where it was renamed."""
    found = _JOB.search(path)
    return "" if found is None else found[1] or found[2]


def refusal(path: str, checkpoint: int, committed: int) -> str:
    """Why a checkpoint must not be restored when a later one is committed; empty when it may be."""
    advice = 'see docs/operations.md, "Stop, savepoint, restore"'
    if committed == DRAINED:
        return f"{path}: its job was stopped with --drain, after which Iceberg skips every commit: {advice}"
    if committed > checkpoint:
        return (
            f"{path} is checkpoint {checkpoint}, and {committed} is committed already: Iceberg would skip the "
            f"rows of all up to that; restore from the newest one, {advice}"
        )
    return ""


def checkpoint_id(path: str) -> int:
    """The id of a checkpoint or savepoint. Raises StoreError when it cannot be read."""
    jvm: Any = get_gateway().jvm
    try:
        file = jvm.org.apache.flink.core.fs.Path(path.rstrip("/"), "_metadata")
        data = jvm.java.io.DataInputStream(file.getFileSystem().open(file))
        loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
        checkpoints = jvm.org.apache.flink.runtime.checkpoint.Checkpoints
        found: int = checkpoints.loadCheckpointMetadata(data, loader, path).getCheckpointId()
        data.close()
    except Exception as error:
        reason = str(getattr(error, "java_exception", error)).splitlines()[0]
        msg = f"{path} cannot be restored: {reason}"
        raise StoreError(msg) from None
    return found
