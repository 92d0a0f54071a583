"""Whom Amplitude has deleted at a project's request: its User Privacy API (docs/amplitude.md §5)."""

import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import urllib3

from errors import OneLineError
from ops.maintenance.export_api import Keys

URLS: Final = {
    "us": "https://amplitude.com/api/2/deletions/users",
    "eu": "https://analytics.eu.amplitude.com/api/2/deletions/users",
}
"""By Amplitude's region: where its User Privacy API is."""
LOOK_BACK: Final = timedelta(days=180)
"""The days of jobs that are asked for: Amplitude gives six months at most."""
_ATTEMPTS: Final = 5
_WAIT_SECONDS: Final = 2.0
_BUSY: Final = frozenset({429, 500, 502, 503, 504})


class DeletionsError(OneLineError):
    """Amplitude does not give the jobs; the message is one line that says what to do, and never a key."""


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
    """By Amplitude's id of each deleted user the day of the job. Raises DeletionsError.

    A job counts once it is done: before that Amplitude deletes what comes until then, and may be told not to.
    """
    found: dict[int, date] = {}
    for job in _jobs(url, given, today, sleep):
        if job.status.lower() == "done" and str(job.app or project_id) == str(project_id):
            for one in job.amplitude_ids:
                number = int(one.amplitude_id)
                found[number] = max(job.day, found.get(number, job.day))
    return found


def _jobs(url: str, given: Keys, today: date, sleep: Callable[[float], None]) -> list[_Job]:
    days = {"start_day": f"{today - LOOK_BACK}", "end_day": f"{today}"}
    for attempt in range(_ATTEMPTS):
        answer: Any = None
        try:
            answer = urllib3.request(
                "GET",
                url,
                fields=days,
                headers=urllib3.make_headers(basic_auth=f"{given.api_key}:{given.secret_key}"),
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=10, read=60),
            )
        except urllib3.exceptions.HTTPError as error:
            problem = f"{type(error).__name__} at {url}"
        else:
            if answer.status == 200:
                return _read(answer.data, url)
            problem = _refused(answer.status, given, url)
        if attempt < _ATTEMPTS - 1:
            sleep(_WAIT_SECONDS * 2**attempt)
    msg = f"Amplitude did not give its deletion jobs in {_ATTEMPTS} attempts ({problem}): repeat the command later"
    raise DeletionsError(msg)


def _read(content: bytes, url: str) -> list[_Job]:
    try:
        return msgspec.json.decode(content, type=list[_Job])
    except msgspec.DecodeError as error:
        msg = f"what {url} answers is no list of deletion jobs ({error}): is the address right?"
        raise DeletionsError(msg) from None


def _refused(status: int, given: Keys, url: str) -> str:
    """What an answer says that may pass; raises DeletionsError for one that will not."""
    if status in {401, 403}:
        msg = f"Amplitude refuses {given!r} (HTTP {status}): are they of this project, and is its --region right?"
        raise DeletionsError(msg)
    if status not in _BUSY:
        msg = f"Amplitude does not give its deletion jobs (HTTP {status}) at {url}: is the address right?"
        raise DeletionsError(msg)
    return f"HTTP {status}"
