"""One job of a kind at a time: a start takes the lease on the tables, by the id that its job will have.

The cluster that the job goes to knows whether the holder has ended. A holder that this cluster does not know may
run on another one: it is gone when its lease has run out.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from stores.errors import StoreError
from stores.leases import Lease, Leases

_ENDED: Final = {"FINISHED", "CANCELED", "FAILED"}
_SECONDS: Final = 120
"""How long the cluster may take to name its jobs, at most."""


class Cluster(NamedTuple):
    """What the cluster says that a job goes to."""

    url: str
    """of the Flink UI; empty in application mode"""
    jobs: Mapping[str, str]
    """the state of each job, by id"""


def job_id(env: StreamExecutionEnvironment) -> str:
    """The id that the job will have; fixed here, unless Flink has (application mode with high availability)."""
    configuration = env._j_stream_execution_environment.getConfiguration()
    option = get_gateway().jvm.org.apache.flink.configuration.PipelineOptionsInternal.PIPELINE_FIXED_JOB_ID
    found: str | None = configuration.get(option)
    if found is None:
        found = uuid4().hex
        configuration.set(option, found)
    return found


def cluster(env: StreamExecutionEnvironment) -> Cluster:
    """The cluster that the job goes to; in application mode there is none yet, and it knows no jobs.

    Raises StoreError when it does not answer, after Flink's own attempts of a minute: it may be starting.
    """
    jvm: Any = get_gateway().jvm
    configuration = env._j_stream_execution_environment.getConfiguration()
    try:
        loader = jvm.org.apache.flink.client.deployment.DefaultClusterClientServiceLoader()
        factory = loader.getClusterClientFactory(configuration)
    except Py4JJavaError:
        return Cluster("", {})
    try:
        descriptor = factory.createClusterDescriptor(configuration)
        client = descriptor.retrieve(factory.getClusterId(configuration)).getClusterClient()
        listed = client.listJobs().get(_SECONDS, jvm.java.util.concurrent.TimeUnit.SECONDS)
    except Py4JJavaError as error:
        options = dict(configuration.toMap())
        place = f"{options.get('rest.address', 'localhost')}:{options.get('rest.port', '8081')}"
        msg = f"no Flink cluster answers at {place}: {_cause(error)}; start it, or name another: -m HOST:PORT"
        raise StoreError(msg) from None
    states = {one.getJobId().toHexString(): one.getJobState().name() for one in listed}
    return Cluster(client.getWebInterfaceURL(), states)


def _cause(error: Any) -> str:
    """The innermost cause of a Java exception in one line."""
    found = error.java_exception
    while found.getCause() is not None:
        found = found.getCause()
    return " ".join(str(found.toString()).split())


@contextmanager
def taken(env: StreamExecutionEnvironment, leases: Leases, mine: Lease, *, over: bool) -> Iterator[None]:
    """Hold the lease while its job is submitted: given up when that fails, else the job is told of on stderr.

    Raises StoreError like `take`.
    """
    found = cluster(env)
    take(leases, mine, found.jobs, over=over)
    try:
        yield
    except BaseException:
        with suppress(StoreError):  # it runs out by itself
            leases.release(mine.job_id)
        raise
    where = f", Flink UI: {found.url}" if found.url else ""
    print(f"jobs.{leases.name}: job {mine.job_id}{where}", file=sys.stderr)


def take(
    leases: Leases,
    mine: Lease,
    jobs: Mapping[str, str],
    *,
    over: bool = False,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Take the lease for a job, `over` whoever holds it; `jobs` are the states that the cluster knows, by id.

    Waits for the lease of a holder that the cluster does not know to run out. Raises StoreError in one line when
    the holder lives.
    """
    first, now = leases.current()
    held = first
    said = False
    while not (_free(held, mine, jobs, now, over=over) and leases.take(mine, held)):
        if held and not over:
            if held != first or held.job_id in jobs:
                raise StoreError(_refusal(held, jobs.get(held.job_id), now))
            if not said:
                print(f"jobs.{leases.name}: {_waiting(held, now)}", file=sys.stderr)
            said = True
        pause(1)
        held, now = leases.current()


def _free(held: Lease | None, mine: Lease, jobs: Mapping[str, str], now: datetime, *, over: bool) -> bool:
    if over or held is None or held.job_id == mine.job_id:
        return True
    state = jobs.get(held.job_id)
    return state in _ENDED if state else held.left(now).total_seconds() < 0


def _refusal(held: Lease, state: str | None, now: datetime) -> str:
    seen = f"{state} on this cluster" if state else f"seen {_seconds(held.idle(now))} ago, not on this cluster"
    return (
        f"job {held.job_id} holds these tables ({seen}) and reads stream {held.stream}: stop it first, "
        f'flink stop {held.job_id}; if it is gone: --take-over (docs/operations.md, "Another ingest job")'
    )


def _waiting(held: Lease, now: datetime) -> str:
    return (
        f"job {held.job_id} held these tables {_seconds(held.idle(now))} ago, and this cluster does not know it: "
        f"waiting up to {_seconds(held.left(now))} for a sign of it (--take-over does not wait)"
    )


def _seconds(time: timedelta) -> str:
    return f"{max(0, round(time.total_seconds()))} s"
