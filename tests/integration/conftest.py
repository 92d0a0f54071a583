"""A Flink mini cluster in this process with the real graph, and emulators of DynamoDB and Kinesis beside it.

The JVM takes its jars from build/flink, the distribution that the local stack runs too.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.sinks import COLUMNS
from lab.stack import emulators, machine
from lab.stack.emulators import Emulator
from lab.stack.process import Process, free_port
from ops.release import flink_home
from stores.lake import EVENT_COUNTS, Lake
from stores.lake_address import LakeAddress
from tests.integration.bridge import Bridge, opened
from tests.order import longest_first
from tests.profiles import pytest_configure  # noqa: F401  a hook of pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = ("ingest", "maintain", "hostile", "users", "erase", "backfill", "export_job", "faults", "rules")
"""Files that take half a minute and more, as they were last timed."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items, LONGEST)


@pytest.fixture(scope="session")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _running(emulators.dynamodb(ROOT, free_port()), tmp_path_factory.mktemp("dynamodb"))


@pytest.fixture(scope="session")
def kinesis_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _running(emulators.kinesis(ROOT, free_port()), tmp_path_factory.mktemp("kinesis"))


@pytest.fixture
def bridge(tmp_path: Path, dynamodb_endpoint: str, kinesis_endpoint: str) -> Iterator[Bridge]:
    yield from opened(tmp_path, dynamodb_endpoint, kinesis_endpoint)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """A lake of the test's own, with the smallest table of the job."""
    found = Lake(
        LakeAddress(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/lake", "amplitude", None, "eu-west-1")
    )
    found.create(EVENT_COUNTS, COLUMNS[EVENT_COUNTS], [])
    yield found
    found.catalog.close()


@pytest.fixture(scope="session")
def objects_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    for endpoint in _running(emulators.objects(free_port()), tmp_path_factory.mktemp("objects")):
        port = int(endpoint.rpartition(":")[2])
        emulators.s3(port, "ap-northeast-2").create_dir(emulators.BUCKET)
        yield port


def _running(emulator: Emulator, folder: Path) -> Iterator[str]:
    env = {**os.environ, **emulator.env}
    process = Process(emulator.name, emulator.command, folder / "log", env, emulator.cwd or folder)
    try:
        process.wait_until(emulator.answers, seconds=60)
        yield emulator.endpoint
    finally:
        process.kill()


@pytest.fixture(scope="session", autouse=True)
def flink(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set before the first use of PyFlink, which starts its JVM with what it finds here."""
    os.environ.update(machine.QUICK)
    os.environ["FLINK_HOME"] = str(flink_home.build(ROOT))
    os.environ["FLINK_CONF_DIR"] = str(ROOT / "flink-conf")
    os.environ["FLINK_LOG_DIR"] = str(tmp_path_factory.mktemp("flink-log"))
