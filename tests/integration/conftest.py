"""A Flink mini cluster in this process with the real graph, and emulators of DynamoDB and Kinesis beside it.

The JVM takes its jars from build/flink, the distribution that the local stack runs too.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import flink_home, machine
from ops.process import Process, answers, free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("dynamodb"), free_port()
    process = Process("dynamodb", machine.dynamodb_command(ROOT, port), folder / "log", os.environ, folder)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: answers(endpoint), seconds=60)
        yield endpoint
    finally:
        process.kill()


@pytest.fixture(scope="session")
def kinesis_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("kinesis"), free_port()
    ports = {"KINESIS_MOCK_PLAIN_PORT": str(port), "KINESIS_MOCK_TLS_PORT": str(free_port())}
    env = {**os.environ, **ports, "LOG_LEVEL": "WARN"}
    command = [machine.node(), "main.js"]
    process = Process("kinesis", command, folder / "log", env, ROOT / machine.KINESIS_LOCAL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: answers(endpoint), seconds=60)
        yield endpoint
    finally:
        process.kill()


@pytest.fixture(scope="session", autouse=True)
def flink(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set before the first use of PyFlink, which starts its JVM with what it finds here."""
    os.environ["FLINK_HOME"] = str(flink_home.build(ROOT))
    os.environ["FLINK_CONF_DIR"] = str(ROOT / "flink-conf")
    os.environ["FLINK_LOG_DIR"] = str(tmp_path_factory.mktemp("flink-log"))
