"""High availability of the embedded stack: off unless asked for, and then the same for all that talk to it."""

import re
from pathlib import Path

from lab.stack import zookeeper
from lab.stack.local import Stack
from tests.documents import document

ROOT = Path(__file__).resolve().parents[3]


def given(stack: Stack) -> dict[str, str]:
    """The options of its JobManager and TaskManagers."""
    return dict(part.split("=", 1) for part in stack._dynamic()[1::2])


def test_a_stack_is_without_unless_asked_for() -> None:
    assert not [key for key in given(Stack("ha-test")) if key.startswith("high-availability")]


def test_processes_and_client_find_the_same_zookeeper_and_metadata() -> None:
    stack = Stack("ha-test", high_availability=True)
    wanted = {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"127.0.0.1:{stack._zookeeper_port}",
        "high-availability.storageDir": f"file://{stack.folder}/ha",
        "high-availability.cluster-id": "/ha-test",
    }
    assert wanted.items() <= given(stack).items()
    assert stack.flink._options == stack._dynamic()


def test_zookeeper_is_reachable_from_this_machine_only(tmp_path: Path) -> None:
    command = zookeeper.command(Path("flink"), tmp_path / "zookeeper", 2181)
    assert command[:2] == [Path("flink/bin/flink-console.sh"), "zookeeper"]
    path = command[command.index("--zkConfigFile") + 1]
    configuration = dict(line.split("=", 1) for line in Path(path).read_text(encoding="utf-8").splitlines())
    assert (configuration["clientPort"], configuration["clientPortAddress"]) == ("2181", "127.0.0.1")
    assert Path(configuration["dataDir"]) == tmp_path / "zookeeper"


def test_a_lost_jobmanager_is_followed_soon() -> None:
    """ZooKeeper grants two to twenty ticks of two seconds; more than some of them use the minute up."""
    conf = document("flink-conf/config.yaml")
    session = re.fullmatch(r"(\d+) s", conf["high-availability.zookeeper.client.session-timeout"])
    assert session
    assert 4 <= int(session[1]) <= 20
