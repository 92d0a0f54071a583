"""Talks to a Flink cluster: `flink run` and the other commands of its CLI, and the REST API."""

import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.stack import class_archive
from lab.stack.patience import Deadline, scaled
from lab.stack.process import StackError
from ops.release.flink_cli import call, submitted, useful_line

FINAL_STATES = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})


def statuses(job: Any) -> set[str]:
    """Those of a job's tasks; none before they are known."""
    return {vertex["status"] for vertex in job["vertices"]}


class FlinkClient:
    """One cluster, by its distribution folder, REST port, environment and the options its processes run with.

    The client needs those options too: checkpointing and Python settings of a job are read where it is
    submitted, not where it runs.
    """

    def __init__(self, home: Path, rest_port: int, env: Mapping[str, str], options: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{rest_port}"
        self._home, self._env = home, dict(env)
        self._options = [part for key, value in options.items() for part in ("-D", f"{key}={value}")]

    def run(self, flink_args: Sequence[str | Path], program: Sequence[str | Path]) -> str:
        """`flink run -d`, Flink's arguments before the program's; returns the job's id.

        Raises FlinkError with the one line of the output that tells why there is no job.
        """
        python = Path(sys.executable)
        command = ("-d", "-pyexec", python, "-pyclientexec", python, *flink_args, *program)
        if class_archive.OPTIONS not in self._env:
            return submitted(self.cli("run", *command))
        with class_archive.shared(self._home, self._env) as env:
            return submitted(self.cli("run", *command, env=env))

    def stop(self, job_id: str, *more: str) -> str:
        """Stop a job with a savepoint, and return its path. Raises FlinkError or StackError."""
        said = self.cli("stop", *more, job_id)
        found = re.search(r"Path: (\S+)", said)
        if found is None:
            msg = f"flink stop named no savepoint: {said.strip()}"
            raise StackError(msg)
        return found[1]

    def cli(
        self, action: str, *args: str | Path, seconds: float = 180, env: Mapping[str, str] | None = None
    ) -> str:
        """Run one action of Flink's CLI (stop, savepoint, list …) and return its output. Raises FlinkError."""
        address = self.url.removeprefix("http://")
        command = [self._home / "bin" / "flink", action, "-m", address, *self._options, *args]
        return call(command, env or self._env, self._home, scaled(seconds))

    def rest(self, path: str, method: str = "GET") -> Any:
        """What the REST API answers at a path such as /jobs/overview, as parsed JSON (None when empty)."""
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310  http://127.0.0.1
        try:
            with urllib.request.urlopen(request, timeout=scaled(10)) as answer:  # noqa: S310
                body = answer.read()
        except urllib.error.HTTPError as error:
            msg = f"Flink REST {method} {path}: {error.code} {error.reason}"
            raise StackError(msg) from None
        except OSError as error:
            msg = f"Flink REST {method} {path}: {error}"
            raise StackError(msg) from None
        return json.loads(body) if body else None

    def taskmanagers(self) -> dict[str, int]:
        """Slots by id of every registered TaskManager (a dead one stays for 20 s); none without an answer."""
        try:
            registered = self.rest("/taskmanagers")["taskmanagers"]
        except StackError:
            return {}
        return {entry["id"]: int(entry["slotsNumber"]) for entry in registered}

    def job_state(self, job_id: str) -> str:
        """RUNNING, RESTARTING, FAILED …; a RUNNING job may still be deploying its tasks."""
        return str(self.rest(f"/jobs/{job_id}")["state"])

    def living(self, job_id: str) -> str:
        """The same of a job that is to go on. Raises StackError with the root cause when it has ended."""
        if (state := self.job_state(job_id)) in FINAL_STATES:
            msg = f"job {job_id} is {state}: {self.root_cause(job_id)}"
            raise StackError(msg)
        return state

    def wait_until_running(self, job_id: str, seconds: float = 120) -> None:
        """Return once every task of the job runs; raise StackError with the root cause if it ends before."""
        self.wait_until(job_id, lambda job: statuses(job) == {"RUNNING"}, Deadline(seconds))

    def wait_until(self, job_id: str, reached: Callable[[Any], bool], deadline: Deadline) -> Any:
        """The job as REST tells of it, once `reached` holds for that.

        Raises StackError with the root cause when the job ends before, or the deadline is over.
        """
        while True:
            job = self.rest(f"/jobs/{job_id}")
            if reached(job):
                return job
            if job["state"] in FINAL_STATES or deadline.over:
                after = "" if job["state"] in FINAL_STATES else f" after {deadline.elapsed:.0f} s"
                msg = f"job {job_id} is {job['state']}{after}: {self.root_cause(job_id)}"
                raise StackError(msg)
            time.sleep(0.2)

    def failures(self, job_id: str) -> int:
        """How many failures of the job are on record (Flink keeps the last 16)."""
        return len(self.rest(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"])

    def root_cause(self, job_id: str) -> str:
        """The innermost cause of the job's last failure, in one line; empty when it has not failed."""
        entries = self.rest(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return useful_line(entries[0]["stacktrace"]) if entries else ""

    def cancel(self, job_id: str, seconds: float = 60) -> None:
        """Cancel a job without a savepoint and wait until it has ended; its last checkpoints stay."""
        self.rest(f"/jobs/{job_id}?mode=cancel", method="PATCH")
        deadline = Deadline(seconds)
        while self.job_state(job_id) not in FINAL_STATES:
            if deadline.over:
                msg = f"job {job_id} still {self.job_state(job_id)} {deadline.elapsed:.0f} s after cancelling it"
                raise StackError(msg)
            time.sleep(0.1)
