"""Whether the job, restored from here, would commit its rows: Iceberg skips what it takes for committed already.

Its committer compares checkpoint ids with the newest one that the restored job has committed in the history of
the current snapshot, and skips without a word (apache/iceberg#10892). So a checkpoint older than that loses the
rows of all in between, unless `amplitude-bridge rewind` has set the tables back, and a job that was stopped with
--drain all rows for ever: a drained commit has the largest id there is.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from stores.checkpoints import job_of
from stores.errors import StoreError
from stores.history import Commit, history_of
from stores.lake import TABLES, Lake
from stores.rewind import Histories, beyond

DRAINED: Final = 2**63 - 1
_PATH_OPTIONS: Final = ("execution.state-recovery.path", "execution.savepoint.path")


def check(env: StreamExecutionEnvironment, lake: Lake, tables: Sequence[str] = TABLES) -> None:
    """Raise StoreError when a job is to be restored from where rows of its tables would be skipped or doubled."""
    configuration = env._j_stream_execution_environment.getConfiguration()
    options: dict[str, str] = dict(configuration.toMap())
    path = next((options[name] for name in _PATH_OPTIONS if name in options), None)
    if path is None:
        return
    # `flink run` has set up file systems before it read -D: without this it looks for an object store at AWS
    jvm = get_gateway().jvm
    plugins = jvm.org.apache.flink.core.plugin.PluginUtils.createPluginManagerFromRootFolder(configuration)
    jvm.org.apache.flink.core.fs.FileSystem.initialize(configuration, plugins)
    checkpoint, histories = checkpoint_id(path), {table: history_of(lake, table) for table in tables}
    if problem := refusal(path, checkpoint, later(histories, job_of(path), checkpoint)):
        raise StoreError(problem)


def later(histories: Histories, job: str, checkpoint: int) -> set[Commit]:
    """The commits after a checkpoint, by the id of its job or how that begins.

    If that job has none, or a path does not name its job, the job that has committed last counts: ids of
    checkpoints go on from job to job.
    """
    commits = [one for history in histories.values() for one in history if one.job]
    if commits and not (job and any(one.job.startswith(job) for one in commits)):
        job = max(commits).job
    return beyond(histories, job, checkpoint)


def refusal(path: str, checkpoint: int, commits: Collection[Commit]) -> str:
    """Why a checkpoint must not be restored when there are these commits after it; empty when it may be."""
    advice = 'see docs/operations.md, "Stop, savepoint, restore"'
    if any(one.checkpoint == DRAINED for one in commits):
        return f"{path}: its job was stopped with --drain, after which Iceberg skips every commit: {advice}"
    if commits:
        newest = max(commits)
        return (
            f"{path} is checkpoint {checkpoint}, and {newest.checkpoint} of job {newest.job} is committed "
            f"already: Iceberg would skip rows, or have them twice; restore from the newest one, {advice}"
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
