"""Amplitude's Export API: the archives of hours, one request for each (docs/amplitude.md §6).

Hours go by `server_upload_time`. An answer is written beside its place and moved there when it is whole. So an
archive that is there is whole, and is not fetched again.
"""

import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from typing import IO, Final

import urllib3

from errors import is_full
from stores.amplitude.http import AmplitudeError, Keys, PassingError, Reading, patiently

URLS: Final = {
    "us": "https://amplitude.com/api/2/export",
    "eu": "https://analytics.eu.amplitude.com/api/2/export",
}
"""By Amplitude's region: where its Export API is."""
READY: Final = timedelta(hours=2)
"""How long after its end an hour is there."""
_PIECE: Final = 2**20


def hours(begin: datetime, end: datetime, now: datetime) -> list[datetime]:
    """All hours from one to another, both included; aware, UTC. Raises AmplitudeError where some are not there."""
    if end < begin:
        msg = f"--to {end:%Y-%m-%dT%H} lies before --from {begin:%Y-%m-%dT%H}: exchange them"
        raise AmplitudeError(msg)
    newest = (now - READY - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    if end > newest:
        msg = (
            f"--to {end:%Y-%m-%dT%H} is not there yet: Amplitude has an hour about two hours after its end, "
            f"now up to {newest:%Y-%m-%dT%H}"
        )
        raise AmplitudeError(msg)
    return [begin + timedelta(hours=n) for n in range((end - begin) // timedelta(hours=1) + 1)]


class ExportApi:
    """The Export API of one project. Methods raise AmplitudeError."""

    def __init__(self, url: str, given: Keys, sleep: Callable[[float], None] = time.sleep) -> None:
        # an answer of gigabytes begins late
        self._reading, self._sleep = Reading(url, given, read_seconds=600), sleep

    def fetch(self, wanted: list[datetime], folder: Path) -> Iterator[Path]:
        """Fetch the archives of hours into a folder that others cannot read, unless they are there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for hour in wanted:
            archive = folder / f"{hour:%Y-%m-%d_%H}.zip"
            if not archive.exists():
                with _written(folder):
                    patiently(f"{hour:%Y-%m-%dT%H}", partial(self._fetch, hour, archive), self._sleep)
            yield archive

    def _fetch(self, hour: datetime, archive: Path) -> None:
        """Write an hour's archive at its place. Raises PassingError for what may be well the next time."""
        part = archive.with_suffix(".part")
        with _alone(part) as file:
            self._request(hour, file)
            part.replace(archive)

    def _request(self, hour: datetime, file: IO[bytes]) -> None:
        spelled = f"{hour:%Y%m%dT%H}"
        answer = self._reading.get({"start": spelled, "end": spelled}, preload_content=False)
        try:
            if answer.status == 200:
                _write(answer, file)
            elif answer.status == 404:  # no data: an archive without files
                zipfile.ZipFile(file, "w").close()
            else:
                raise self._refused(answer.status, f"{hour:%Y-%m-%dT%H}")
        except urllib3.exceptions.HTTPError as error:
            raise self._reading.passing(error) from None
        finally:
            answer.close()

    def _refused(self, status: int, at: str) -> Exception:
        if status not in {400, 504}:
            return self._reading.refused(status, at)
        why = "more than 4 GB" if status == 400 else "too much for one answer"
        return AmplitudeError(
            f"Amplitude does not give {at} (HTTP {status}: {why}): have that hour exported to S3 at Amplitude "
            "and give its files to backfill; take the other hours by --from and --to"
        )


def _write(answer: urllib3.BaseHTTPResponse, file: IO[bytes]) -> None:
    for piece in answer.stream(_PIECE):
        file.write(piece)
    if not zipfile.is_zipfile(file):  # its directory stands at its end: what is cut off has none
        msg = "the archive was cut off"
        raise PassingError(msg)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """What is written within it. Raises AmplitudeError where there is no room."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        msg = (
            f"{folder} cannot be written: {error.strerror}: make room, or name another --folder, then repeat this"
        )
        raise AmplitudeError(msg) from None


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """An empty file that no other process writes to. Raises AmplitudeError where one does."""
    with part.open("a+b") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            msg = f"another process fetches {part.stem} into {part.parent}: wait for its end, then try again"
            raise AmplitudeError(msg) from None
        file.truncate(0)
        yield file
        file.flush()
