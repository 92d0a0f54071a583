"""Flink's command line: `flink run` and its other actions, with the reason in one line when they fail."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from errors import OneLineError


class FlinkError(OneLineError):
    """An action of Flink's command line failed; the message is one line with the reason."""


def call(command: Sequence[str | Path], env: Mapping[str, str], home: Path, seconds: float) -> str:
    """Run Flink's CLI, `command[1]` its action, and return its output. Raises FlinkError with the reason."""
    action = f"flink {command[1]}"
    try:
        done = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            # Python looks for modules where it starts, and only then in -pyfs: there must be none
            stdin=subprocess.DEVNULL, timeout=seconds, check=False, cwd=home,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"{action} did not return within {error.timeout:.0f} s"
        raise FlinkError(msg) from None
    if done.returncode != 0:
        msg = f"{action} failed: {_reason(done.stdout)}"
        raise FlinkError(msg)
    return done.stdout


def follow(command: Sequence[str | Path], env: Mapping[str, str], home: Path) -> Iterator[str]:
    """Run Flink's CLI as `call` does, and give each line as soon as it is said.

    Raises FlinkError with the reason. Who stops listening ends it.
    """
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, cwd=home,
    )  # fmt: skip
    said: list[str] = []
    try:
        for line in process.stdout or ():
            said.append(line)
            yield line.rstrip("\n")
        if process.wait() != 0:
            msg = f"flink {command[1]} failed: {_reason(''.join(said))}"
            raise FlinkError(msg)
    finally:
        process.kill()  # the JVM itself, and with it goes the Python that it has started
        process.wait()


def submitted(output: str) -> str:
    """The id of the job that `flink run` has submitted. Raises FlinkError with the reason when it has not."""
    found = re.search(r"JobID ([0-9a-f]{32})", output)
    if found is None:
        msg = f"flink run started no job: {_reason(output)}"
        raise FlinkError(msg)
    return found[1]


def _reason(output: str) -> str:
    """The line a program printed before it ended, not the stack traces that Flink wraps around that."""
    output = output.replace("Use the help option (-h or --help) to get help on the command.", "")
    said = output.partition("org.apache.flink.client.program.ProgramAbortException")[0].strip()
    return useful_line(said or output)


def useful_line(output: str) -> str:
    """The line that tells why: the innermost cause of the last trace, Java or Python, else the last one said."""
    said = re.split(r"^\s+at ", output.rpartition("Caused by: ")[2], maxsplit=1, flags=re.MULTILINE)[0]
    below = [line for line in said.splitlines() if line.strip() and not line[0].isspace()]
    if "Traceback (most recent call last):" in said and below:  # a Python worker's, the exception below its frames
        return below[-1]
    lines = [line.strip() for line in output.splitlines()]
    lines = [line for line in lines if line and not re.match(r"(at |\.\.\. \d+ more)", line)]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or [""])[-1]
