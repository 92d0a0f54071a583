"""How a request is let in and answered: the same for every endpoint.

An endpoint is a function from what was asked to the answer. All else is here: `Request-Id`, access key, scope,
rate, size, errors, metrics, and the way to the stream.
"""

import asyncio
import gzip
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import Final, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ops.bucket import Bucket
from ops.intake import limits, metrics
from ops.intake.batcher import CALLS, Batcher
from ops.intake.errors import IntakeError, away, throttled
from settings import Settings
from stores.access_keys import AccessKey, AccessKeys, KnownKeys, State, given
from stores.errors import StoreError
from stores.projects import Projects
from stores.put_records import PutRecords
from stores.registry import CachedRegistry, Registry
from udfs.intake import Header, MacKeys, wrap

RECORD_BYTES: Final = 2**20
"""Of a record and its partition key, as every stream takes them (docs/amplitude.md §4.4)."""
_USER: Final = re.compile(rb'"user_id"\s*:\s*"([^"]{1,512})"')
_LOOKED_AT: Final = 16 * 2**10  # bytes of a body in which its user is sought
_STRANGERS: Final = 1_200
"""Look-ups a minute of access keys that have not opened here yet: guessing must not keep the table busy."""
_FAILED: Final = IntakeError(500, "internal", "the intake failed: send it again, under the same Request-Id")
log = logging.getLogger("intake")


class Asked(NamedTuple):
    """A request that is let in."""

    header: Header
    key: AccessKey
    body: bytes
    """as it came"""
    path: Mapping[str, str]
    """what the endpoint's path names in braces"""
    encoding: str
    """the header Content-Encoding"""


class Intake:
    """What the requests of one process share."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = metrics.Metrics()
        self.batcher = Batcher(PutRecords(settings.stream_address, CALLS).put, self.metrics)
        self._keys = KnownKeys(AccessKeys(settings.tables_address).find)
        self._opened: set[str] = set()  # prefixes of keys that have opened here
        self._strangers = Bucket(_STRANGERS)
        self._macs = MacKeys(settings.intake.mac_keys_file)
        self._settings = settings
        self._registry: CachedRegistry[Registry] | None = None
        self.bucket = cache(lambda _prefix: Bucket(settings.intake.requests_per_minute))

    async def key_of(self, token: str) -> AccessKey:
        """The access key that a sender shows. Raises IntakeError unless it is one, and opens now."""
        shown = given(token)
        key = await self._known(shown.prefix) if shown else None
        if not (shown and key and key.is_opened_by(shown.secret)):
            raise _denied(
                "key_invalid", "there is no such access key: compare it with the one that was shown to you"
            )
        state = key.state(datetime.now(UTC))
        if state is not State.ACTIVE:
            raise _denied(f"key_{state}", f"access key {key.prefix} is {state}: ask for another one")
        self._opened.add(key.prefix)
        return key

    async def _known(self, prefix: str) -> AccessKey | None:
        if known := self._keys.fresh(prefix):
            return known[0]
        if prefix not in self._opened and not self._strangers.take():
            raise throttled("too many unknown access keys are shown: send it again later")
        try:
            return await asyncio.to_thread(self._keys.find, prefix)
        except StoreError as error:
            log.warning("%s", error)
            raise away("access keys cannot be looked up at the moment: send it again") from None

    async def registry(self) -> Registry:
        """The projects as they were registered 15 s ago at most; who asks first waits. Raises IntakeError."""
        if self._registry is None:
            try:
                self._registry = await asyncio.to_thread(_registry, self._settings)
            except StoreError as error:
                log.warning("%s", error)
                raise away("projects cannot be looked up at the moment: send it again") from None
        return self._registry()

    async def put(self, header: Header, body: bytes, partition_key: str) -> None:
        """Return once Kinesis has the body, in an envelope of its project. Raises IntakeError."""
        record = wrap(header, body, self._macs)
        if len(record) + len(partition_key) > RECORD_BYTES:
            packed = await asyncio.to_thread(gzip.compress, body, 1)  # the job opens it like any other
            record = wrap(header, packed, self._macs)
        if len(record) + len(partition_key) > RECORD_BYTES:
            raise IntakeError(413, "body_too_large", "the body is too long for a record: send it in two requests")
        await self.batcher.put(partition_key, record)


def _registry(settings: Settings) -> CachedRegistry[Registry]:
    """The registry without cohorts: those that come by a key are its project's."""
    projects = Projects(settings.tables_address)
    registry = CachedRegistry[Registry](lambda: {one.project_id: one for one in projects.list()})
    registry.refresh_every(settings.ingest.projects_refresh_seconds)
    return registry


def bearer(authorization: str, _body: bytes = b"") -> str:
    """The access key of the header `Authorization`; empty when it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class Endpoint(NamedTuple):
    """What is served at a path, by POST."""

    path: str
    scope: str
    """that the key has to have"""
    source: str
    """as the envelope names it"""
    handle: Callable[[Intake, Asked], Awaitable[Response]]
    refused: Callable[[IntakeError, str], Response] = IntakeError.response
    """how an error is told, with the request's id"""
    key: Callable[[str, bytes], str] = bearer
    """the access key, of the header `Authorization`; without that header of the body, unless it is `bearer`"""
    body_bytes: int = limits.BODY_BYTES
    """of a body, as it comes"""


def partition_key(asked: Asked) -> str:
    """Of the project and user where the body may be a single event, so that shards keep a user's order.

    Else of the request. The user is the first that a body beginning with an object names.
    """
    begin = asked.body[:_LOOKED_AT].lstrip()
    if begin.startswith(b"{") and (found := _USER.search(begin)):
        return user_key(asked.header.project_id, found[1])
    return asked.header.request_id


def user_key(project_id: int, user: bytes) -> str:
    """The partition key of a project's user."""
    return blake2b(b"%d:%b" % (project_id, user), digest_size=16).hexdigest()


class Served:
    """An endpoint as an ASGI application: what all of them have in common."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever becomes of it."""
        began, request = time.monotonic(), Request(scope, receive)
        intake: Intake = scope["state"]["intake"]
        request_id, headers = limits.request_id(request.headers), intake.bucket("").headers()
        taken = 0
        try:
            token, body = await self._shown(request)
            key = await intake.key_of(token)
            bucket = intake.bucket(key.prefix)
            allowed = bucket.take()
            headers |= bucket.headers()
            if not allowed:
                words = f"more requests than access key {key.prefix} may send: wait {bucket.wait} s"
                raise IntakeError(429, "rate_limited", words, retry_after=bucket.wait)
            asked = await self._asked(request, key, request_id, body)
            response = await self.endpoint.handle(intake, asked)
            taken = len(asked.body)
        except IntakeError as refusal:
            response = self.endpoint.refused(refusal, request_id)
        except ClientDisconnect:
            return
        except Exception:  # our bug: the sender is told to try again
            log.exception("request %s to %s failed", request_id, self.endpoint.path)
            response = self.endpoint.refused(_FAILED, request_id)
        headers["request-id"] = request_id
        response.raw_headers += [(name.encode(), value.encode()) for name, value in headers.items()]
        intake.metrics.answered(self.endpoint.path, response.status_code, time.monotonic() - began, taken)
        await response(scope, receive, send)

    async def _shown(self, request: Request) -> tuple[str, bytes]:
        """The access key of a request, and the body if that had to be read for it. Raises IntakeError."""
        authorization, body = request.headers.get("authorization", ""), b""
        if not authorization and self.endpoint.key is not bearer:
            body = await limits.body_of(request, self.endpoint.body_bytes)
        token = self.endpoint.key(authorization, body)
        if not token:
            raise _denied("key_missing", "send the access key in this header: Authorization: Bearer ntfy_…")
        return token, body

    async def _asked(self, request: Request, key: AccessKey, request_id: str, body: bytes) -> Asked:
        if self.endpoint.scope not in key.scopes:
            words = f"access key {key.prefix} is not for {self.endpoint.scope}: ask for one with that scope"
            raise IntakeError(403, "scope_missing", words, "Authorization")
        body = body or await limits.body_of(request, self.endpoint.body_bytes)
        at = datetime.now(UTC).replace(tzinfo=None)
        header = Header(key.project_id, at, request_id, self.endpoint.source, key.scopes)
        return Asked(header, key, body, request.path_params, request.headers.get("content-encoding", ""))


def _denied(code: str, words: str) -> IntakeError:
    return IntakeError(401, code, words, "Authorization")
