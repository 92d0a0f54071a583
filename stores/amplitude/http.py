"""What the clients of Amplitude share: a project's two keys, when to ask again, and what a refusal means."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import urllib3

from errors import OneLineError

_ATTEMPTS: Final = 5
_WAIT_SECONDS: Final = 2.0
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_T = TypeVar("_T")


class AmplitudeError(OneLineError):
    """Amplitude does not give what was asked for; the message is one line that says what to do, never a key."""


class PassingError(Exception):
    """What may be well when it is tried again, in words."""


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
    """The keys in a file that holds `API_KEY:SECRET_KEY`. Raises AmplitudeError that hides them."""
    try:
        api_key, _, secret_key = file.read_text(encoding="ascii").strip().partition(":")
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise AmplitudeError(msg) from None
    except UnicodeDecodeError:
        api_key = secret_key = ""
    if not (api_key.isalnum() and secret_key.isalnum()):
        msg = f"{file} holds no keys: write API_KEY:SECRET_KEY into it, from the project's settings at Amplitude"
        raise AmplitudeError(msg)
    return Keys(api_key, secret_key, file)


def pool(timeout: urllib3.Timeout, kept: int = 32) -> urllib3.PoolManager:
    """Connections that never try again by themselves: whoever asks knows whether to; so many are kept."""
    return urllib3.PoolManager(retries=False, timeout=timeout, maxsize=kept)


class Reading:
    """GETs at one address with a project's keys."""

    def __init__(self, url: str, given: Keys, read_seconds: float) -> None:
        self.url, self.keys = url, given
        self._headers = urllib3.make_headers(basic_auth=f"{given.api_key}:{given.secret_key}")
        self._pool = pool(urllib3.Timeout(connect=10, read=read_seconds))

    def get(self, fields: dict[str, str], **how: Any) -> urllib3.BaseHTTPResponse:
        """An answer, whatever its status. Raises PassingError where there is none."""
        try:
            # a redirect would carry the keys elsewhere
            return self._pool.request("GET", self.url, fields=fields, headers=self._headers, redirect=False, **how)
        except urllib3.exceptions.HTTPError as error:
            raise self.passing(error) from None

    def passing(self, error: Exception) -> PassingError:
        """What went wrong on the way."""
        return PassingError(f"{type(error).__name__} at {self.url}")

    def refused(self, status: int, what: str) -> Exception:
        """What a status that is not 200 means: PassingError, or AmplitudeError where to wait does not help."""
        if status in _PASSING:
            return PassingError(f"HTTP {status}")
        if status in {401, 403}:
            return AmplitudeError(
                f"Amplitude refuses {self.keys!r} (HTTP {status}): are they of this project, and is its --region "
                "right?"
            )
        return AmplitudeError(
            f"Amplitude does not give {what} (HTTP {status}) at {self.url}: is the address right?"
        )


def patiently(what: str, attempt: Callable[[], _T], sleep: Callable[[float], None] = time.sleep) -> _T:
    """What an attempt gives; five are made, 2, 4, 8 and 16 s apart, while they raise PassingError.

    Raises AmplitudeError behind the last one.
    """
    for number in range(_ATTEMPTS):
        if number:
            sleep(_WAIT_SECONDS * 2 ** (number - 1))
        try:
            return attempt()
        except PassingError as error:
            problem = error
    msg = f"Amplitude did not give {what} in {_ATTEMPTS} attempts ({problem}): repeat the command later"
    raise AmplitudeError(msg)
