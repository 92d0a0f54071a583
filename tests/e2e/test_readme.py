"""The commands of README and docs/operations.md, run as a newcomer would: copied from the page, in order."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.stack.flink_client import FlinkClient
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from lab.stack.process import Process, is_free

ROOT = Path(__file__).resolve().parents[2]
PORTS = (Ports.kinesis, Ports.dynamodb, Ports.flink_rest)


def commands(page: str, heading: str, block: int = 0) -> list[str]:
    """The command lines of a shell block below a page's heading, the first one unless said otherwise."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL) if section else []
    assert len(blocks) > block, f"{page} has no such shell block below {heading!r}"
    lines = blocks[block].replace("\\\n", "").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


@contextmanager
def started(command: str, log: Path) -> Iterator[Process]:
    """It ends with the test, and with this process if that is cut off."""
    process = Process(command, command.split(), log, os.environ, ROOT)
    try:
        yield process
    finally:
        process.stop(patience=scaled(60))


def test_both_commands_of_the_first_block_are_make_targets() -> None:
    assert commands("README.md", "Two commands") == ["make run", "make test"]


def test_make_run_stays_up_for_other_tools_until_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("make run", log) as process:
        wait_for(log, "Running until Ctrl-C.", process)
        assert "RIGHT all numbers equal the count of the 3,200 records fed" in log.read_text()
        assert "0 residuals of the export ledger" in log.read_text()
        for command in commands("docs/operations.md", "While `make run` runs"):
            subprocess.run(command.split(), cwd=ROOT, check=True, timeout=scaled(60))
        second = subprocess.run(["make", "run"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert "lab.run: a stack named local is running already, as process " in second.stderr
        cancel_the_job()
        wait_for(log, " is CANCELED; the rest runs on until Ctrl-C.", process)
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
        process.wait(60)
    assert [port for port in PORTS if not is_free(port)] == []
    assert not (ROOT / "var" / "stack.json").exists()


def cancel_the_job() -> None:
    flink = FlinkClient(ROOT / "build" / "flink", Ports.flink_rest, {}, {})
    ids = {job["name"]: job["jid"] for job in flink.rest("/jobs/overview")["jobs"]}
    assert ids.keys() == {"amplitude-ingest", "amplitude-export"}
    flink.cancel(ids["amplitude-ingest"])


def test_make_run_once_checks_the_numbers_and_exits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("make run ONCE=1", log) as process:
        assert process.wait(300) == 0, log.read_text()
    assert "RIGHT all numbers" in log.read_text()


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [ROOT / ".venv/bin/python", "-m", "lab.run", "--once", "--flink-port", str(port)]
        refused = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=scaled(60), check=False
        )
    assert refused.returncode == 2
    assert refused.stderr == (
        f"lab.run: port {port} is taken (Flink REST); stop what uses it or pass --flink-port\n"
    )


def wait_for(log: Path, text: str, process: Process) -> None:
    wait_until(lambda: text in log.read_text() or not process.running, 300, log.read_text)
    assert text in log.read_text()
