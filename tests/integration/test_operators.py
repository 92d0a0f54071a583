"""What the Flink UI shows and a savepoint addresses: every operator named, described and with a uid of ours."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from jobs.stages import operators
from lab import picture
from lab.bench import job_rival
from tests.integration import cluster

# What state is addressed by: a uid that changes leaves the state of running jobs behind.
STATEFUL = {
    "decode-records",
    "first-copy-deduplicate",
    "first-content-deduplicate",
    "first-message-deduplicate",
    "count-window",
    "ledger-window",
    "event-counts-window",
    "usage-window",
    "usage-sum",
    *(
        f"{table}-{operator}"
        for table in (
            *("event-store", "user-updates", "cohort-messages", "cohort-changes", "dead-letters"),
            *("ledger", "event-counts"),
        )
        for operator in ("writer", "committer")
    ),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Any:
    where = cluster.place(tmp_path_factory.mktemp("graph"), dynamodb_endpoint, [])
    return cluster.build(where, 1, timedelta(days=40))


@pytest.fixture(scope="module")
def graph(environment: Any) -> dict[str, Any]:
    return {operator.getUid(): operator for operator in operators(environment._j_stream_execution_environment)}


def test_every_operator_has_a_uid_a_name_and_a_description(graph: dict[str, Any]) -> None:
    for uid, operator in graph.items():
        assert uid
        name = operator.getName()
        assert re.fullmatch(r"[a-z-]+: [a-z]+|to [a-z-]+|select|not-null|out|end", name), name
        assert " / " in operator.getDescription()


def test_the_picture_in_the_docs_is_of_these_tasks(environment: Any) -> None:
    vertices = (
        environment._j_stream_execution_environment.getStreamGraph(False)
        .getJobGraph()
        .getVerticesSortedTopologicallyFromSources()
    )
    tasks = [vertex.getName() for vertex in get_gateway().jvm.java.util.ArrayList(vertices)]
    shown = picture.tasks_of(picture.PICTURE.read_bytes())
    assert sorted(map(first, shown)) == sorted(map(first, tasks)), "`make run`, and beside it `make picture`"


def first(task: str) -> str:
    """The operator that a task begins with."""
    return task.split(" -> ", maxsplit=1)[0]


def test_no_uid_carries_a_number_of_the_planner(graph: dict[str, Any]) -> None:
    assert [uid for uid in graph if re.search(r"\d{2}|\$|_\d", uid)] == []


def test_stateful_operators_keep_their_uids(graph: dict[str, Any]) -> None:
    assert set(graph) >= STATEFUL


def test_python_runs_to_decode_to_open_and_to_write_to_dynamodb(graph: dict[str, Any]) -> None:
    decoding, writing = ["decode-python", "open-parts", "open-python"], ["usage", "profiles", "members"]
    python = [uid for uid in graph if uid.endswith(("python", "parts"))]
    assert python == [*decoding, "change-parts", "member-groups-parts", *(f"{stage}-python" for stage in writing)]


def test_nothing_but_the_shuffle_stands_between_decode_and_the_first_copy(graph: dict[str, Any]) -> None:
    """A union in front of the dedupe would cost every event one more hop over the network."""
    inputs = {one.getUid() for one in predecessors(graph["first-copy-deduplicate"])}
    assert inputs == {"first-copy-select", "first-copy-select-2"}


def predecessors(operator: Any) -> list[Any]:
    """The operators whose rows reach this one, through partitions and unions."""
    array_list = get_gateway().jvm.java.util.ArrayList
    found: list[Any] = []
    for one in array_list(operator.getInputs()):
        virtual = one.getClass().getSimpleName() in {"PartitionTransformation", "UnionTransformation"}
        found += predecessors(one) if virtual else [one]
    return found


def test_the_rival_of_the_benchmark_plans_like_ours(tmp_path: Path, dynamodb_endpoint: str) -> None:
    where = cluster.place(tmp_path, dynamodb_endpoint, [])
    env = StreamExecutionEnvironment.get_execution_environment()
    job_rival.build(env, where.settings, f"file://{where.records}")
    uids = {operator.getUid() for operator in operators(env._j_stream_execution_environment)}
    assert uids >= {"first-copy-deduplicate", "count-window", "event-store-writer", "event-store-committer"}


def test_first_copies_are_remembered_for_the_window_and_totals_for_ever(graph: dict[str, Any]) -> None:
    for stage, window in (
        ("copy", timedelta(days=40)),
        ("content", timedelta(hours=6)),
        ("message", timedelta(days=40)),
    ):
        assert retention_ms(graph[f"first-{stage}-deduplicate"]) == window.total_seconds() * 1000
    assert retention_ms(graph["usage-sum"]) == 0


def retention_ms(operator: Any) -> int:
    """The idle state retention that the planner has built into an operator's function."""
    function = operator.getOperatorFactory().getOperator().getUserFunction()
    kind = function.getClass()
    while kind is not None:
        for field in kind.getDeclaredFields():
            if field.getName() == "stateRetentionTime":
                field.setAccessible(True)
                return field.getLong(function)
            if field.getName() == "ttlConfig":
                field.setAccessible(True)
                config = field.get(function)
                return config.getTimeToLive().toMillis() if config.isEnabled() else 0
        kind = kind.getSuperclass()
    names = get_gateway().jvm.java.util.Arrays.toString(function.getClass().getDeclaredFields())
    raise AssertionError(names)


def test_checkpoints_overtake_rows_before_the_slow_writers_only(environment: Any) -> None:
    array_list = get_gateway().jvm.java.util.ArrayList
    stream_graph = environment._generate_stream_graph()
    by_id = {node.getId(): node.getTransformationUID() for node in array_list(stream_graph.getStreamNodes())}
    overtaken = {
        (by_id[edge.getSourceId()], by_id[edge.getTargetId()])
        for node in array_list(stream_graph.getStreamNodes())
        for edge in array_list(node.getOutEdges())
        if edge.supportsUnalignedCheckpoints()
    }
    assert overtaken == {
        ("member-groups-out", "members-in"),
        ("profile-updates-out", "profiles-in"),
    }
