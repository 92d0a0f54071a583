"""The way to the JVM: each Python thread keeps its own connections, so that all it plans runs in one Java thread.

Py4J lends every call any connection that is idle, and the JVM serves each connection by a Java thread of its own.
The SQL planner keeps in the Java thread that has made a table environment how to ask for metadata (Calcite's
`RelMetadataQueryBase.THREAD_PROVIDERS`). In any other thread planning ends with `NullPointerException:
metadataHandlerProvider`. One call from a second Python thread is enough for the two to change connections, and the
garbage collector makes such calls, in whatever thread it runs.
"""

import threading
from typing import Any

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment


class OwnConnections(threading.local):
    """What stands in for Py4J's pool: the idle connections of the thread that asks, the last one used on top."""

    def __init__(self) -> None:
        self._idle: list[Any] = []

    def __len__(self) -> int:
        return len(self._idle)

    def append(self, connection: Any) -> None:
        """Keep a connection that has become idle."""
        self._idle.append(connection)

    def pop(self) -> Any:
        """The connection that was used last. IndexError: this thread has none that is idle, and Py4J makes one."""
        return self._idle.pop()


def stay_in_one_java_thread() -> None:
    """Let each Python thread keep its own connections from now on; this one those that there are."""
    client = get_gateway()._gateway_client
    if isinstance(client.deque, OwnConnections):
        return
    own = OwnConnections()
    for connection in client.deque:
        own.append(connection)
    client.deque = own


def table_environment(env: StreamExecutionEnvironment) -> StreamTableEnvironment:
    """A table environment with what the SQL's meaning rests on; all else is the cluster's configuration."""
    stay_in_one_java_thread()
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set_local_timezone("UTC")
    # with mini-batch the dedupe is no longer insert-only, and append sinks refuse it
    tables.get_config().set("table.exec.mini-batch.enabled", "false")
    return tables
