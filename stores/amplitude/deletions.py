"""Whom Amplitude has deleted at a project's request: its User Privacy API (docs/amplitude.md §5)."""

import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Final

import msgspec

from stores.amplitude.http import AmplitudeError, Keys, Reading, patiently

URLS: Final = {
    "us": "https://amplitude.com/api/2/deletions/users",
    "eu": "https://analytics.eu.amplitude.com/api/2/deletions/users",
}
"""By Amplitude's region: where its User Privacy API is."""
LOOK_BACK: Final = timedelta(days=180)
"""The days of jobs that are asked for: Amplitude gives six months at most."""
_WHAT: Final = "its deletion jobs"


class _Id(msgspec.Struct):
    amplitude_id: int | str  # an id may be either in this API


class _Job(msgspec.Struct):
    day: date
    status: str
    amplitude_ids: list[_Id]
    app: int | str | None = None
    """only where a job is one of several projects"""


def deleted(
    url: str, given: Keys, project_id: int, today: date, sleep: Callable[[float], None] = time.sleep
) -> dict[int, date]:
    """By Amplitude's id of each deleted user the day of the job. Raises AmplitudeError.

    A job counts once it is done: before that Amplitude deletes what comes until then, and may be told not to.
    """
    found: dict[int, date] = {}
    for job in patiently(_WHAT, partial(_jobs, Reading(url, given, read_seconds=60), today), sleep):
        if job.status.lower() == "done" and str(job.app or project_id) == str(project_id):
            for one in job.amplitude_ids:
                number = int(one.amplitude_id)
                found[number] = max(job.day, found.get(number, job.day))
    return found


def _jobs(reading: Reading, today: date) -> list[_Job]:
    answer = reading.get({"start_day": f"{today - LOOK_BACK}", "end_day": f"{today}"})
    if answer.status != 200:
        raise reading.refused(answer.status, _WHAT)
    try:
        return msgspec.json.decode(answer.data, type=list[_Job])
    except msgspec.DecodeError as error:
        msg = f"what {reading.url} answers is no list of deletion jobs ({error}): is the address right?"
        raise AmplitudeError(msg) from None
