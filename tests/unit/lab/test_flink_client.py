"""What Flink's REST API says of a job that has ended."""

from pathlib import Path
from typing import Any

import pytest

from lab.stack.flink_client import FlinkClient
from lab.stack.process import StackError


class Answering(FlinkClient):
    """A client of a cluster that has one job, which was in some state when it was asked for."""

    def __init__(self, state: str) -> None:
        super().__init__(Path(), 0, {}, {})
        self.state = state

    def rest(self, path: str, method: str = "GET") -> Any:
        failed = "java.lang.RuntimeException: it failed\nCaused by: java.io.IOException: the disk is full"
        history = {"exceptionHistory": {"entries": [{"stacktrace": failed}]}}
        return {"/jobs/a1": {"state": self.state}, "/jobs/a1/exceptions": history}[path]


def test_whoever_waits_for_a_job_that_has_ended_hears_of_it() -> None:
    assert Answering("RESTARTING").living("a1") == "RESTARTING"
    with pytest.raises(StackError) as ended:
        Answering("FAILED").living("a1")
    assert str(ended.value) == "job a1 is FAILED: java.io.IOException: the disk is full"
