"""Who may come in, and what they may do: roles, rights, and the file of local accounts."""

import hmac
import json
import logging
import os
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import scrypt, sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Any, Final

from errors import OneLineError
from stores.project import Project

MAKE: Final = "amplitude-bridge console-account add NAME --role operator"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,99}")
_COST: Final = {"n": 2**14, "r": 8, "p": 1}  # 16 MB and 50 ms, as OWASP asks of scrypt for interactive logins
_SALT: Final = 16  # bytes
log = logging.getLogger("console")


class Right(StrEnum):
    """What a route may ask of whoever comes."""

    OPEN = "open"
    """nothing: who is not logged in may come too"""
    READ = "read"
    CHANGE = "change"
    """of projects that one sees: link, unlink, replay"""
    BYTES = "bytes"
    """the bytes of records"""
    STAFF = "staff"
    """what is of all customers together"""
    OPERATE = "operate"
    """what is Notifly's to decide: plans, limits"""


class Role(StrEnum):
    """What a person is here."""

    OPERATOR = "operator"
    SUPPORT = "support"
    CUSTOMER = "customer"


RIGHTS: Final = {
    Role.OPERATOR: frozenset(Right),
    Role.SUPPORT: frozenset({Right.OPEN, Right.READ, Right.STAFF}),
    Role.CUSTOMER: frozenset({Right.OPEN, Right.READ, Right.CHANGE, Right.BYTES}),
}


class AccountsError(OneLineError):
    """The accounts cannot be used, or not so; the message is one line and shows no password."""


@dataclass(frozen=True)
class Account:
    """A person. `projects` are names of Notifly projects, and of a customer alone."""

    name: str
    role: Role
    projects: tuple[str, ...] = ()
    password: str = ""
    """salt and hash, in base64 with a dollar sign between"""

    def may(self, right: Right) -> bool:
        """Whether the role has this right."""
        return right in RIGHTS[self.role]

    def sees(self, project: Project) -> bool:
        """Whether the project is this account's to see: a customer's must never have been anybody else's."""
        return self.role is not Role.CUSTOMER or {link.notifly_project for link in project.links} <= {
            *self.projects
        }

    @property
    def mark(self) -> str:
        """What a session remembers of the password: a new one ends it."""
        return sha256(self.password.encode()).hexdigest()[:16]


class Accounts:
    """The local accounts of a file, which is read again once it has changed."""

    def __init__(self, file: str | None) -> None:
        """Raises AccountsError when the file cannot be read."""
        self._file, self._lock = file, Lock()
        self._changed: int | None = None
        self._known: dict[str, Account] = {}
        self._refresh()

    def get(self, name: str) -> Account | None:
        """The account of this name; nobody's, once the file cannot be read any more."""
        with self._lock:
            try:
                self._refresh()
            except AccountsError as error:
                log.error("%s", error)
                self._known, self._changed = {}, None
            return self._known.get(name)

    def _refresh(self) -> None:
        if self._file and (changed := _changed(self._file)) != self._changed:
            self._known, self._changed = {one.name: one for one in read(self._file)}, changed

    def proven(self, name: str, password: str) -> Account | None:
        """The account of this name, if the password is right; a name that is not there takes as long."""
        account = self.get(name)
        right = _matches(password, account.password if account else _NOBODY)
        return account if right else None


def _changed(file: str) -> int | None:
    try:
        return Path(file).stat().st_mtime_ns
    except FileNotFoundError:
        msg = f"console.accounts_file = {file!r} is not there: make it with {MAKE}"
        raise AccountsError(msg) from None


def read(file: str) -> list[Account]:
    """The accounts of a file; none where there is no file. Raises AccountsError."""
    try:
        return [_account(one) for one in json.loads(Path(file).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not what console-account writes"
        msg = f"console.accounts_file = {file!r} cannot be read: {why}"
        raise AccountsError(msg) from None


def _account(one: dict[str, Any]) -> Account:
    return Account(one["name"], Role(one["role"]), tuple(one["projects"]), one["password"])


def added(file: str, name: str, role: Role, projects: Iterable[str] = ()) -> str:
    """Write an account with a new password, which is returned and nowhere kept; one that is there is replaced.

    Raises AccountsError: a name that is none, a customer without projects, or others with them.
    """
    account = Account(name, role, tuple(projects))
    if not _NAME.fullmatch(name):
        msg = f"{name!r} is no name of an account: letters, digits and @ . _ + - are, up to 100"
        raise AccountsError(msg)
    if (role is Role.CUSTOMER) != bool(account.projects):
        msg = "a customer has at least one --project, the name of a Notifly project; other roles have none"
        raise AccountsError(msg)
    password = secrets.token_urlsafe(15)
    others = [one for one in read(file) if one.name != name]
    _write(file, [*others, Account(name, role, account.projects, _hashed(password))])
    return password


def removed(file: str, name: str) -> None:
    """Take an account out. Raises AccountsError when there is none of this name."""
    known = read(file)
    if all(one.name != name for one in known):
        msg = f"there is no account {name!r}: console-account list shows all"
        raise AccountsError(msg)
    _write(file, [one for one in known if one.name != name])


def _write(file: str, accounts: Iterable[Account]) -> None:
    with NamedTemporaryFile("w", dir=Path(file).parent, delete=False, encoding="utf-8") as new:  # of mode 0600
        json.dump([asdict(one) for one in accounts], new, indent=2)
    os.replace(new.name, file)


def _hashed(password: str) -> str:
    salt = os.urandom(_SALT)
    return f"{b64encode(salt).decode()}${b64encode(_scrypt(password, salt)).decode()}"


def _matches(password: str, hashed: str) -> bool:
    salt, _, expected = hashed.partition("$")
    return hmac.compare_digest(_scrypt(password, b64decode(salt)), b64decode(expected))


def _scrypt(password: str, salt: bytes) -> bytes:
    return scrypt(password.encode(errors="surrogatepass"), salt=salt, **_COST)


_NOBODY: Final = f"{b64encode(bytes(_SALT)).decode()}${b64encode(bytes(64)).decode()}"
