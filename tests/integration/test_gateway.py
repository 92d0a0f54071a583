"""Planning while another Python thread calls the JVM, as the garbage collector does in whatever thread it runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from jobs import gateway
from jobs.stages import Graph

SECONDS_OF_A_CALL = 3


@contextmanager
def another_thread_calling() -> Iterator[None]:
    """Another thread is in the middle of a call: of Py4J's pool it has taken the connection that was used last."""
    jvm = get_gateway().jvm
    caller = threading.Thread(target=lambda: jvm.java.lang.Thread.sleep(SECONDS_OF_A_CALL * 1000))
    caller.start()
    caller.join(0.5)
    assert caller.is_alive()
    yield
    caller.join()


def test_a_stage_is_planned_in_the_java_thread_that_made_the_environment() -> None:
    tables = gateway.table_environment(StreamExecutionEnvironment.get_execution_environment())
    graph = Graph(tables, StreamExecutionEnvironment.get_execution_environment())
    tables.execute_sql("CREATE TEMPORARY TABLE numbers (a INT) WITH ('connector' = 'datagen')")
    query = tables.sql_query("SELECT b FROM (SELECT a + 1 AS b FROM numbers) WHERE b > 1")
    with another_thread_calling():
        stage = graph.stream("decode", "Numbers", query)
    assert stage.get_schema().get_field_names() == ["b"]


def test_a_python_thread_stays_in_its_java_thread() -> None:
    gateway.table_environment(StreamExecutionEnvironment.get_execution_environment())
    before = java_thread()
    with another_thread_calling():
        assert java_thread() == before
    assert java_thread() == before


def java_thread() -> int:
    thread: int = get_gateway().jvm.java.lang.Thread.currentThread().getId()
    return thread
