"""docs/operations.md, "Submit to a cluster", as typed, from an empty directory to a completed checkpoint."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.sample.registry import create
from lab.stack import emulators, machine
from lab.stack.emulators import Emulator
from lab.stack.local import INHERITED
from lab.stack.patience import Deadline, scaled
from lab.stack.process import Process, free_port
from settings import load
from tests.e2e.test_readme import ROOT, commands

REGION = "ap-northeast-2"
INSTALLED = (".venv", ".tools", "jars", "emulators/node_modules")  # by `make setup`, which takes minutes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This work tree as somebody would clone it, with what `make setup` installs."""
    folder = tmp_path / "notifly-amplitude"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name in INSTALLED:
        if (ROOT / name).is_dir():
            (folder / name).symlink_to(ROOT / name)
    (folder / "build").mkdir()
    for name in (".python", ".jars", ".emulators"):
        (folder / "build" / name).touch()
    return folder


@pytest.fixture
def services(tmp_path: Path) -> Iterator[dict[str, Emulator]]:
    started = [emulators.kinesis(ROOT, free_port()), emulators.dynamodb(ROOT, free_port())]
    folder, env = tmp_path / "emulators", os.environ | machine.QUICK
    folder.mkdir()
    processes = [
        Process(one.name, one.command, folder / f"{one.name}.log", env | one.env, one.cwd or folder)
        for one in started
    ]
    try:
        for one, process in zip(started, processes, strict=True):
            process.wait_until(one.answers, seconds=120)
        yield {one.name: one for one in started}
    finally:
        for process in processes:
            process.kill()


@pytest.fixture
def shell(checkout: Path, tmp_path: Path) -> Iterator["Shell"]:
    shell = Shell(checkout, tmp_path)
    yield shell
    shell.run("build/flink/bin/stop-cluster.sh")


class Shell:
    """Where the commands are typed; ports of its own for the cluster, and checkpoints that do not let wait."""

    def __init__(self, folder: Path, tmp: Path) -> None:
        self.folder, self.tmp, self.rest_port = folder, tmp, free_port()
        self.env = {key: os.environ[key] for key in INHERITED if key in os.environ} | {
            # the environment's packages are installed from the tree that runs this test
            "PYTHONPATH": str(folder),
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": REGION,
            "AWS_CBOR_DISABLE": "true",
            "CBOR_ENABLED": "false",
            "FLINK_PID_DIR": str(tmp / "pids"),
            **machine.QUICK,
        }
        conf = folder / "flink-conf" / "config.yaml"
        text = re.sub(r"(?m)^(execution.checkpointing.interval): .*", r"\1: 2 s", conf.read_text(encoding="utf-8"))
        own = f"rest.port: {self.rest_port}\njobmanager.rpc.port: {free_port()}\nio.tmp.dirs: {tmp}\n"
        conf.write_text(text + own, encoding="utf-8")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        typed = command.replace("s3://BUCKET", f"file://{self.tmp}/state")
        return subprocess.run(
            ["bash", "-c", typed],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=scaled(600),
            check=False,
        )


def edited(path: Path, services: dict[str, Emulator]) -> None:
    """What a newcomer makes of the example, for the emulators of this machine."""
    path.write_text(
        f'[kinesis]\nendpoint = "{services["kinesis"].endpoint}"\n'
        f'[dynamodb]\nendpoint = "{services["dynamodb"].endpoint}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{path.parent}/catalog.db"\nwarehouse = "file://{path.parent}/warehouse"\n',
        encoding="utf-8",
    )


def test_from_an_empty_directory_to_a_completed_checkpoint(shell: Shell, services: dict[str, Emulator]) -> None:
    setup, copy, home, start, submit, listing = commands("docs/operations.md", "Submit to a cluster")
    typed(shell, setup)
    typed(shell, copy)
    edited(shell.folder / "job.toml", services)
    create(load(shell.folder / "job.toml"), shards=1)
    typed(shell, home)
    typed(shell, start)
    said = typed(shell, submit)
    found = re.fullmatch(rf"job ([0-9a-f]{{32}}), Flink UI: http://localhost:{shell.rest_port}\n", said)
    assert found, said
    job = found[1]
    wait_for_checkpoint(shell, job)
    assert f"{job} : amplitude-ingest (RUNNING)" in typed(shell, listing)

    # refused: one line and 2; the same by flink run stands above a stack trace
    line = (
        f"job {job} holds these tables (RUNNING on this cluster) and reads stream "
        f"notifly-external-event-streaming: stop it first, flink stop {job}; if it is gone: --take-over "
        '(docs/operations.md, "Another ingest job")'
    )
    refused = shell.run(submit)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"amplitude-bridge: flink run failed: jobs.ingest: {line}\n"
    package, plain = commands("docs/operations.md", "Submit to a cluster", 1)
    typed(shell, package)
    refused = shell.run(plain)
    assert refused.returncode == 31, refused.stderr
    assert f"jobs.ingest: {line}" in refused.stdout + refused.stderr
    assert "ProgramAbortException" in refused.stdout + refused.stderr

    typed(shell, f"build/flink/bin/flink stop --savepointPath file://{shell.tmp}/state/savepoints {job}")
    assert "Job has been submitted with JobID" in typed(shell, plain)


def typed(shell: Shell, command: str) -> str:
    done = shell.run(command)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for_checkpoint(shell: Shell, job: str) -> None:
    """Return once the job has completed one; it fails here when it has failed."""
    deadline = Deadline(120)
    while not rest(shell, f"/jobs/{job}/checkpoints")["counts"]["completed"]:
        state = rest(shell, f"/jobs/{job}")["state"]
        assert state in {"CREATED", "INITIALIZING", "RUNNING"}, rest(shell, f"/jobs/{job}/exceptions")
        assert not deadline.over, f"no checkpoint is complete, the job is {state}"
        time.sleep(0.5)


def rest(shell: Shell, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{shell.rest_port}{path}", timeout=scaled(30)) as answer:
        return json.load(answer)


def refusal(path: Path, *options: str, **more: str) -> str:
    """The one line of a start that no JVM has seen."""
    env = {key: os.environ[key] for key in INHERITED if key in os.environ} | {"JAVA_HOME": "/none", **more}
    command = [ROOT / ".venv/bin/amplitude-bridge", "submit", "--config", path, *options]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=scaled(120), check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


def test_what_is_wrong_is_one_line_before_a_jvm_starts(tmp_path: Path, services: dict[str, Emulator]) -> None:
    path = tmp_path / "job.toml"
    edited(path, services)
    stream = f"Kinesis stream none at {services['kinesis'].endpoint} cannot be used"
    assert refusal(path, "--set", "kinesis.stream=none").startswith(f"amplitude-bridge: {stream}: ")
    assert refusal(path, "--set", "lake.name=a").startswith(
        f"amplitude-bridge: {path}: lake.name is not a setting"
    )

    create(load(path), shards=1)
    away = refusal(path, "--set", "lake.catalog_uri=sqlite:////none/catalog.db")
    assert away.startswith("amplitude-bridge: Iceberg catalog sqlite:////none/catalog.db cannot be used: ")
    found = refusal(path, FLINK_HOME="/none")
    assert found.startswith("amplitude-bridge: /none holds no bin/flink: set FLINK_HOME ")

    path.write_text('[lake]\ncatalog_uri = "sqlite:////c.db"\nwarehouse = "file:///w"\n', encoding="utf-8")
    assert refusal(path, AWS_EC2_METADATA_DISABLED="true") == (
        "amplitude-bridge: Kinesis stream notifly-external-event-streaming cannot be used: no AWS credentials: "
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role\n"
    )
