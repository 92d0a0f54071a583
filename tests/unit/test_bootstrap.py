"""bootstrap.sh says which tool has failed, and what that tool said."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAILING = "for n in $(seq 40); do echo line $n; done; echo the reason >&2; exit 7"
ANSWERS = {
    "python3.11": "exit 0",
    "java": "echo 'openjdk version \"17.0.1\"' >&2",
    "df": "printf 'head\\ndisk 1 1 9000000 1 /\\n'",
    "mvn": "mkdir -p jars/dynamodb-local",
    "npm": "exit 0",
}


def bootstrap(folder: Path, **tools: str) -> "subprocess.CompletedProcess[str]":
    """bootstrap.sh in a folder whose Python environment is there already, among these tools."""
    shutil.copy(ROOT / "bootstrap.sh", folder)
    for name, script in {**ANSWERS, **tools, "../.venv/bin/python": "exit 0"}.items():
        tool = folder / "bin" / name
        tool.parent.resolve().mkdir(parents=True, exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        tool.chmod(0o755)
    (folder / "build").mkdir()
    (folder / "build" / ".python").touch()
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = ["sh", "bootstrap.sh"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("tool", "summary"),
    [
        ("mvn", "bootstrap: Maven could not fetch the jars of profile flink"),
        ("npm", "bootstrap: npm could not install the Kinesis emulator"),
    ],
)
def test_a_tool_that_fails_is_named_and_heard(tool: str, summary: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = bootstrap(tmp_path, **{tool: FAILING})
    first, *said = done.stderr.splitlines()
    assert done.returncode == 1
    assert first == f"{summary}. The last lines of build/bootstrap.log:"
    assert said == [*(f"line {n}" for n in range(27, 41)), "the reason"]


def test_tools_that_succeed_are_not_heard(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = bootstrap(tmp_path, npm="echo added 1 package")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "bootstrap: jars (about 230 MB; some minutes the first time)",
        "bootstrap: Kinesis emulator",
    ]
