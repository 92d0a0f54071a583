"""The embedded stack as real processes, without a job on it."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from lab.stack.local import Ports, Stack
from lab.stack.patience import wait_until
from lab.stack.process import Process, StackError, useful_line
from settings import load

CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack("test-stack", Ports.free(), brief=True)
    with stack:
        groups = list(stack.pids().values())
        yield stack
    assert [group for group in groups if _members(group)] == [], "stop() left processes behind"


def _members(group: int) -> bool:
    """Whether any process of this group is left; a dead one that nobody has collected yet counts too."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_process_runs_and_says_how_long_it_took(stack: Stack) -> None:
    assert set(stack.pids()) == {"kinesis", "dynamodb", "jobmanager", "taskmanager-1"}
    assert set(stack.ready_after) == set(stack.pids())


def test_a_started_process_is_the_jvm_itself(stack: Stack) -> None:
    command = Path(f"/proc/{stack.pids()['taskmanager-1']}/cmdline").read_bytes()
    assert b"org.apache.flink.runtime.taskexecutor.TaskManagerRunner" in command.split(b"\0")


def test_flink_answers_with_our_configuration_and_a_slot(stack: Stack) -> None:
    assert stack.rest("/overview")["flink-version"].startswith("1.20")
    assert stack.flink.taskmanagers() == {"taskmanager-1": 1}
    configuration = {entry["key"]: entry["value"] for entry in stack.rest("/jobmanager/config")}
    assert configuration["state.backend.type"] == "rocksdb"
    assert configuration["execution.checkpointing.dir"] == f"file://{stack.folder}/checkpoints"


def test_a_kinesis_stream_gives_back_what_was_put(stack: Stack) -> None:
    kinesis = boto3.client("kinesis", endpoint_url=stack.kinesis_endpoint, region_name=stack.region, **CREDENTIALS)
    kinesis.create_stream(StreamName="echo", ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName="echo", WaiterConfig={"Delay": 1})
    put = kinesis.put_record(StreamName="echo", Data=b"\x00\xff{", PartitionKey="k")
    iterator = kinesis.get_shard_iterator(
        StreamName="echo", ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    assert [record["Data"] for record in kinesis.get_records(ShardIterator=iterator)["Records"]] == [b"\x00\xff{"]


def test_a_dynamodb_table_refuses_what_its_condition_forbids(stack: Stack) -> None:
    dynamodb = boto3.client(
        "dynamodb", endpoint_url=stack.dynamodb_endpoint, region_name=stack.region, **CREDENTIALS
    )
    dynamodb.create_table(
        TableName="echo",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    once = {"TableName": "echo", "ConditionExpression": "attribute_not_exists(id)"}
    dynamodb.put_item(Item={"id": {"S": "a"}, "n": {"N": "1"}}, **once)
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(Item={"id": {"S": "a"}, "n": {"N": "2"}}, **once)
    assert dynamodb.get_item(TableName="echo", Key={"id": {"S": "a"}})["Item"]["n"] == {"N": "1"}


def test_the_written_settings_are_the_job_s_and_name_this_stack(stack: Stack) -> None:
    settings = load(stack.write_settings())
    assert settings.kinesis.endpoint == stack.kinesis_endpoint
    assert settings.lake.catalog_uri == f"sqlite:///{stack.folder}/catalog.db"


def test_a_second_stack_of_the_same_name_leaves_the_first_alone(stack: Stack) -> None:
    with pytest.raises(StackError) as refused:
        Stack("test-stack", stack.ports).start()
    assert str(refused.value) == (
        f"a stack named test-stack is running already, as process {os.getpid()}: use that one, or end it first"
    )
    assert "taskmanager-1" in stack.pids()
    assert (stack.folder / "log" / "jobmanager.log").exists()


@pytest.mark.parametrize(
    ("field", "purpose", "option"),
    [
        ("kinesis", "Kinesis", "--kinesis-port"),
        ("dynamodb", "DynamoDB", "--dynamodb-port"),
        ("flink_rest", "Flink REST", "--flink-port"),
        ("watch", "usage watch", "--watch-port"),
    ],
)
def test_a_taken_port_is_named_with_the_remedy_before_anything_starts(
    field: str, purpose: str, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = Stack("test-ports", Ports(**{**vars(Ports.free()), field: port}))
        with pytest.raises(StackError) as refused:
            stack.start()
    assert str(refused.value) == f"port {port} is taken ({purpose}); stop what uses it or pass {option}"
    assert stack.pids() == {}
    assert not stack.folder.exists()


def test_a_flink_option_with_a_blank_is_refused() -> None:
    with pytest.raises(StackError, match="write it without"):
        Stack("test-options", flink_options={"execution.checkpointing.interval": "30 s"})


def test_a_process_that_ends_early_is_reported_with_its_last_line_and_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    process = Process("server", ["sh", "-c", "echo starting; echo no space left; exit 3"], log, os.environ)
    with pytest.raises(StackError) as failed:
        process.wait_until(lambda: False, seconds=10)
    assert str(failed.value) == f"server ended with code 3: no space left (log: {log})"


def test_a_killed_process_takes_its_orphans_along(tmp_path: Path) -> None:
    process = Process("parent", ["sh", "-c", "sleep 300 & sleep 300"], tmp_path / "log", os.environ)
    wait_until(lambda: len(process.others()) == 2, 10, process.others)
    os.kill(process.pid, signal.SIGKILL)
    assert _members(process.pid)
    process.kill()
    assert not _members(process.pid)


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    process = Process("deaf", ["sh", "-c", "trap '' TERM; sleep 300 & wait"], tmp_path / "log", os.environ)
    wait_until(process.others, 10)  # the trap is set by then
    process.stop(patience=0.2)
    assert not process.running
    assert not _members(process.pid)


def test_the_useful_line_is_the_innermost_cause() -> None:
    trace = "ERROR boom\nE: outer\n\tat a.B.c(B.java:1)\nCaused by: java.io.IOException: disk\n\t... 3 more\n"
    assert useful_line(trace) == "java.io.IOException: disk"
    assert useful_line("first\n\n  last \n") == "last"
    first = "Traceback (most recent call last):\n  File 'a.py'\nKeyError: 1\n\n"
    python = f"{first}Traceback (most recent call last):\n  File 'b.py'\nstores.errors.StoreError: table f\n"
    worker = f"java.lang.A: b\n\tat c\nCaused by: java.lang.D: e: {python}\n\tat g\n"
    assert useful_line(worker) == "stores.errors.StoreError: table f"
