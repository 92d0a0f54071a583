"""Amplitude's Export API: the archives of hours, one request for each (docs/amplitude.md §6).

Hours go by `server_upload_time`. An answer is written beside its place and moved there when it is whole. So an
archive that is there is whole, and is not fetched again.
"""

import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, Final, NamedTuple

import urllib3

from errors import OneLineError

URLS: Final = {
    "us": "https://amplitude.com/api/2/export",
    "eu": "https://analytics.eu.amplitude.com/api/2/export",
}
"""By Amplitude's region: where its Export API is."""
READY: Final = timedelta(hours=2)
"""How long after its end an hour is there."""
_ATTEMPTS: Final = 5
_WAIT_SECONDS: Final = 2.0
_PIECE: Final = 2**20
_BUSY: Final = frozenset({429, 500, 502, 503})


class ExportError(OneLineError):
    """Amplitude does not give an hour; the message is one line that says what to do, and never a key."""


class Keys(NamedTuple):
    """A project's API key and secret key."""

    api_key: str
    secret_key: str
    file: Path
    """where they were read"""

    def __repr__(self) -> str:
        """Where they are, never what they are."""
        return f"the keys of {self.file}"


def keys(file: Path) -> Keys:
    """The keys in a file that holds `API_KEY:SECRET_KEY`. Raises ExportError that hides them."""
    try:
        api_key, _, secret_key = file.read_text(encoding="ascii").strip().partition(":")
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise ExportError(msg) from None
    except UnicodeDecodeError:
        api_key = secret_key = ""
    if not (api_key.isalnum() and secret_key.isalnum()):
        msg = f"{file} holds no keys: write API_KEY:SECRET_KEY into it, from the project's settings at Amplitude"
        raise ExportError(msg)
    return Keys(api_key, secret_key, file)


def hours(begin: datetime, end: datetime, now: datetime) -> list[datetime]:
    """All hours from one to another, both included; aware, UTC. Raises ExportError where Amplitude has not all."""
    if end < begin:
        msg = f"--to {end:%Y-%m-%dT%H} lies before --from {begin:%Y-%m-%dT%H}: exchange them"
        raise ExportError(msg)
    newest = (now - READY - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    if end > newest:
        msg = (
            f"--to {end:%Y-%m-%dT%H} is not there yet: Amplitude has an hour about two hours after its end, "
            f"now up to {newest:%Y-%m-%dT%H}"
        )
        raise ExportError(msg)
    return [begin + timedelta(hours=n) for n in range((end - begin) // timedelta(hours=1) + 1)]


class ExportApi:
    """The Export API of one project. Methods raise ExportError."""

    def __init__(self, url: str, given: Keys, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url, self._keys, self._sleep = url, given, sleep
        basic = b64encode(f"{given.api_key}:{given.secret_key}".encode()).decode()
        # an answer of gigabytes begins late
        self._pool = urllib3.PoolManager(
            headers={"authorization": f"Basic {basic}"},
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=600),
        )

    def fetch(self, wanted: list[datetime], folder: Path) -> Iterator[Path]:
        """Fetch the archives of hours into a folder that others cannot read, unless they are there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for hour in wanted:
            archive = folder / f"{hour:%Y-%m-%d_%H}.zip"
            if not archive.exists():
                self._fetch(hour, archive)
            yield archive

    def _fetch(self, hour: datetime, archive: Path) -> None:
        part = archive.with_suffix(".part")
        for attempt in range(_ATTEMPTS):
            with _alone(part) as file:
                problem = self._request(hour, file)
                if problem is None:
                    part.replace(archive)
                    return
            if attempt < _ATTEMPTS - 1:
                self._sleep(_WAIT_SECONDS * 2**attempt)
        at = f"{hour:%Y-%m-%dT%H}"
        msg = f"Amplitude did not give {at} in {_ATTEMPTS} attempts ({problem}): repeat the command later"
        raise ExportError(msg)

    def _request(self, hour: datetime, file: IO[bytes]) -> str | None:
        """Write an hour's archive; a problem that may pass in words, None when it is whole."""
        spelled = f"{hour:%Y%m%dT%H}"
        try:
            answer = self._pool.request(
                "GET", self._url, fields={"start": spelled, "end": spelled}, preload_content=False, redirect=False
            )
            try:
                if answer.status == 200:
                    return _written(answer, file)
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError as error:
            return f"{type(error).__name__} at {self._url}"
        if answer.status == 404:  # no data: an archive without files
            with zipfile.ZipFile(file, "w"):
                return None
        return self._refused(answer.status, hour)

    def _refused(self, status: int, hour: datetime) -> str:
        """What an answer says that may pass; raises ExportError for one that will not."""
        at = f"{hour:%Y-%m-%dT%H}"
        if status in {401, 403}:
            msg = (
                f"Amplitude refuses {self._keys!r} (HTTP {status}): are they of this project, and is its --region "
                "right?"
            )
            raise ExportError(msg)
        if status in {400, 504}:
            why = "more than 4 GB" if status == 400 else "too much for one answer"
            msg = (
                f"Amplitude does not give {at} (HTTP {status}: {why}): have that hour exported to S3 at Amplitude "
                "and give its files to backfill; take the other hours by --from and --to"
            )
            raise ExportError(msg)
        if status not in _BUSY:
            msg = f"Amplitude does not give {at} (HTTP {status}) at {self._url}: is the address right?"
            raise ExportError(msg)
        return f"HTTP {status}"


def _written(answer: urllib3.BaseHTTPResponse, file: IO[bytes]) -> str | None:
    for piece in answer.stream(_PIECE):
        file.write(piece)
    # its directory stands at its end: what is cut off has none
    return None if zipfile.is_zipfile(file) else "the archive was cut off"


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """An empty file that no other process writes to. Raises ExportError where one does."""
    with part.open("a+b") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            msg = f"another process fetches {part.stem} into {part.parent}: wait for its end, then try again"
            raise ExportError(msg) from None
        file.truncate(0)
        yield file
        file.flush()
