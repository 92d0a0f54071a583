"""Sessions: a signed cookie says who somebody is and since when. Only those that were ended are kept here.

Whoever is not logged in has one too, so that the form of the login is bound to a browser like any other.
"""

import hmac
import secrets
import time
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from itsdangerous import BadData, URLSafeTimedSerializer

from errors import OneLineError
from ops.console.people import Account

LONGEST: Final = 12 * 3600.0
"""Seconds after which a session ends, however it is used."""
IDLE: Final = 3600.0
"""Seconds after which it ends when nobody does anything."""
RENEWED: Final = 60.0
"""Seconds after which a cookie says anew that somebody does something."""
_KEY_BYTES: Final = 32
_MAKE: Final = f"openssl rand -base64 {_KEY_BYTES}"


class SessionKeysError(OneLineError):
    """The keys cannot be used; the message is one line and shows none."""


@dataclass(frozen=True)
class Session:
    """What a cookie says. `name` is the account's, empty before the login; times are seconds since 1970."""

    id: str
    name: str
    mark: str
    begun: float
    seen: float

    @property
    def stale(self) -> bool:
        """Whether the cookie is to say anew that somebody is here."""
        return time.time() - self.seen > RENEWED


def keys_of(file: str | None) -> list[bytes]:
    """The keys of a file, the newest first. Raises SessionKeysError."""
    if file is None:
        msg = f"console.session_keys_file is not set: name a file that holds a key, such as of: {_MAKE}"
        raise SessionKeysError(msg)
    try:
        keys = [b64decode(line, validate=True) for line in Path(file).read_text(encoding="ascii").split()]
    except OSError as error:
        msg = f"console.session_keys_file = {file!r} cannot be read: {error.strerror}"
        raise SessionKeysError(msg) from None
    except ValueError:
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        msg = f"console.session_keys_file = {file!r} must hold keys of {_KEY_BYTES} bytes in base64: {_MAKE}"
        raise SessionKeysError(msg)
    return keys


class Sessions:
    """Makes sessions and reads them back."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` with the newest first: that one signs, all are believed."""
        self._signer = URLSafeTimedSerializer([*reversed(keys)], salt="session", signer_kwargs=_SHA256)
        self._csrf_key = hmac.digest(keys[0], b"csrf", "sha256")
        self._ended: dict[str, float] = {}  # by id: when nobody would believe it anyway

    def new(self, account: Account | None = None) -> Session:
        """A session with an id that nobody has seen."""
        now = time.time()
        return Session(
            secrets.token_urlsafe(18), account.name if account else "", account.mark if account else "", now, now
        )

    def cookie(self, session: Session) -> str:
        """What the browser is to keep of a session that is used now."""
        return self._signer.dumps([session.id, session.name, session.mark, session.begun])

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it was not made here, has expired, or was ended."""
        try:
            (key, name, mark, begun), signed = self._signer.loads(cookie, max_age=int(IDLE), return_timestamp=True)
        except (BadData, ValueError, TypeError):
            return None
        if time.time() - begun > LONGEST or key in self._ended:
            return None
        return Session(key, name, mark, begun, signed.timestamp())

    def end(self, session: Session) -> None:
        """Believe a session no more, whoever has kept its cookie."""
        now = time.time()
        self._ended = {key: until for key, until in self._ended.items() if until > now} | {
            session.id: now + LONGEST
        }

    def token(self, session: Session) -> str:
        """What the forms of a session carry, so that no other site can send them."""
        return hmac.new(self._csrf_key, session.id.encode(), sha256).hexdigest()

    def genuine(self, session: Session, token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.token(session).encode(), token.encode(errors="replace"))


_SHA256: Final[dict[str, Any]] = {"digest_method": sha256, "key_derivation": "hmac"}
