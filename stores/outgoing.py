"""A worker's copy of the destinations, ready to be sent to: their keys are open, in memory alone."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from stores import aws, dynamodb
from stores.amplitude import Response, Uploads
from stores.destinations import Destination, Destinations
from stores.errors import StoreError
from stores.registry import IMPATIENT, CachedRegistry
from stores.seal import NotOpenedError, Seal, SealKeys

log = logging.getLogger(__name__)

_WRITER: Final = ThreadPoolExecutor(1, "destination-states")
"""Writes states beside the records, one after the other."""


class Sending(NamedTuple):
    """How events are sent, as a worker has to be told."""

    tables: dynamodb.TablesAddress
    seal_keys: SealKeys
    endpoint: str | None
    """None: Amplitude's own"""
    api: str
    """of `amplitude.PATHS`"""
    refresh_seconds: float


class Target:
    """One destination as it is known now. `become` changes this copy at once and the table soon."""

    def __init__(
        self, destination: Destination, api_key: str | None, uploads: Uploads, table: Destinations
    ) -> None:
        """A key of None does not open: it is answered for as a wrong one."""
        self.destination, self._api_key, self._uploads, self._table = destination, api_key, uploads, table
        self._stored = destination
        """As it is in the table, as far as the writer knows; nobody else touches it."""

    @property
    def state(self) -> str:
        """How it stands with it, as far as is known here."""
        return self.destination.state

    @property
    def words(self) -> str:
        """Why."""
        return self.destination.words

    def post(self, events: Sequence[bytes], seconds: float) -> Response:
        """Send events, each a JSON object; wait so long for each part of the answer."""
        if self._api_key is None:
            return Response(401, b'{"error":"the sealed API key does not open: destinations set it anew"}')
        return self._uploads.post(self.destination.region, self._api_key, events, seconds)

    def become(self, state: str, words: str) -> None:
        """Note at once how it stands with it, tell the log, and write it to the table beside the records."""
        was, self.destination = self.destination, self.destination._replace(state=state, words=words)
        why = f": {words}" if words else ""
        log.warning("destination of project %d is %s, was %s%s", was.project_id, state, was.state, why)
        _WRITER.submit(self._write, state, words)

    def _write(self, state: str, words: str) -> None:
        try:
            # where it has changed meanwhile, the next reading tells how it is
            self._stored = self._table.change_state(self._stored, state, words) or self._stored
        except StoreError as error:
            log.warning("state of the destination of project %d not written: %s", self._stored.project_id, error)


class _Targets:
    """Reads the destinations; a key is opened once."""

    def __init__(self, table: Destinations, seal: Seal, uploads: Uploads) -> None:
        self._table, self._seal, self._uploads = table, seal, uploads
        self._opened: dict[bytes, str | None] = {}

    def read(self) -> Mapping[int, Target]:
        """All destinations, by project. Raises StoreError."""
        found = self._table.list()
        # where KMS gives up in between, the next reading goes on behind those that are open
        self._opened.update((one.api_key, self._open(one)) for one in found if one.api_key not in self._opened)
        self._opened = {one.api_key: self._opened[one.api_key] for one in found}
        return {
            one.project_id: Target(one, self._opened[one.api_key], self._uploads, self._table) for one in found
        }

    def _open(self, one: Destination) -> str | None:
        try:
            return self._seal.open(one.project_id, one.api_key)
        except NotOpenedError as error:
            log.error("%s", error)
            return None


def open_targets(sending: Sending) -> CachedRegistry[Mapping[int, Target]]:
    """The destinations as a worker opens them. Raises StoreError when they or the seal's keys cannot be read."""
    client = aws.client("dynamodb", sending.tables.region, sending.tables.endpoint, IMPATIENT)
    uploads = Uploads(sending.endpoint, sending.api)
    targets = _Targets(Destinations(sending.tables, client), Seal(sending.seal_keys), uploads)
    cached = CachedRegistry(targets.read)
    cached.refresh_every(sending.refresh_seconds)
    return cached
