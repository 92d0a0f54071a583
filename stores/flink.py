"""What a Flink cluster says of itself and of a job, by its REST API."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

from stores.errors import StoreError

_SECONDS: Final = 5
_LOOKS: Final = 5
_LAG: Final = "millisBehindLatest"


class Job(NamedTuple):
    """The state of a job, and what the JobManager takes for the present; aware, UTC."""

    state: str
    now: datetime
    restarts: int | None
    """None while the JobManager does not tell"""


class Checkpoint(NamedTuple):
    """A checkpoint that has completed; sizes in bytes."""

    at: datetime
    took: timedelta
    state: int
    """all that it refers to"""
    written: int


class Checkpoints(NamedTuple):
    """Those that the JobManager remembers, newest first, and how many have failed since it started."""

    completed: list[Checkpoint]
    failed: int


class Flink:
    """One cluster. Methods raise StoreError in one line when it does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def version(self) -> str:
        """Flink's version."""
        return str(self._get("/overview")["flink-version"])

    def jars(self) -> set[str]:
        """Names of the jars on the JobManager's class path."""
        return {PurePosixPath(one).name for one in self._get("/jobmanager/environment")["classpath"]}

    def job(self, job_id: str) -> Job:
        """A job's state."""
        said = self._get(f"/jobs/{job_id}")
        restarts = self._get(f"/jobs/{job_id}/metrics?get=numRestarts")
        return Job(said["state"], _time(said["now"]), int(restarts[0]["value"]) if restarts else None)

    def checkpoints(self, job_id: str) -> Checkpoints:
        """A job's checkpoints; savepoints are left out."""
        said = self._get(f"/jobs/{job_id}/checkpoints")
        return Checkpoints(
            [
                Checkpoint(
                    _time(one["latest_ack_timestamp"]),
                    timedelta(milliseconds=one["end_to_end_duration"]),
                    one["state_size"],
                    one["checkpointed_size"],
                )
                for one in said["history"]
                if one["status"] == "COMPLETED" and not one["is_savepoint"]
            ],
            said["counts"]["failed"],
        )

    def lag(self, job_id: str) -> timedelta | None:
        """How far behind the newest record of its shard the source reads that is furthest behind.

        None before a reader has had its first answer from Kinesis.
        """
        for _ in range(_LOOKS):
            if (found := self._lag(job_id)) is not None:
                return found
            time.sleep(1)  # a JobManager that nobody has asked lately fetches metrics after its first answer
        return None

    def _lag(self, job_id: str) -> timedelta | None:
        values = [
            int(one["value"])
            for vertex in self._get(f"/jobs/{job_id}")["vertices"]
            for one in self._lags(f"/jobs/{job_id}/vertices/{vertex['id']}/metrics")
        ]
        known = [value for value in values if value >= 0]
        return timedelta(milliseconds=max(known)) if known else None

    def _lags(self, path: str) -> Any:
        names = [one["id"] for one in self._get(path) if one["id"].endswith(_LAG)]
        return self._get(f"{path}?get={quote(','.join(names))}") if names else []

    def _get(self, path: str) -> Any:
        remedy = "name the cluster with --flink http://HOST:PORT"
        try:
            with urlopen(self.url + path, timeout=_SECONDS) as answer:  # noqa: S310  http(s), see the option
                return json.load(answer)
        except HTTPError as error:
            msg = f"Flink at {self.url} knows no {path.partition('?')[0]}: {error.code} {error.reason}: {remedy}"
            raise StoreError(msg) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            msg = f"Flink cannot be reached: nothing answers at {self.url} ({reason}): {remedy}"
            raise StoreError(msg) from None


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
