"""What feeds a job two ways: half of the events and user updates over HTTP, all else straight to the stream."""

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from lab.sample.others import PROJECTS
from lab.stack.process import StackError
from settings import Settings
from stores.access_keys import AccessKeys, Scope
from stores.stream import Stream
from udfs.attribute import Registry
from udfs.decode import decode
from udfs.intake import MAGIC
from udfs.model import DECODED, Kind

_REGISTRY: Final[Registry] = {one.project_id: one for one in PROJECTS}
_PROJECT_AT: Final = list(DECODED).index("project_id")
_ANSWER_SECONDS: Final = 8
_PAUSE: Final = 0.2  # seconds before a request is made again
_WAITS: Final = frozenset({429, 500, 503})


class Senders:
    """Puts records as `Stream.put` does. An event goes over HTTP again and again until it is acknowledged."""

    def __init__(self, settings: Settings, stream: Stream) -> None:
        """Make an access key for each of the sample's projects; the settings say where the intake is."""
        table = AccessKeys(settings.tables_address)
        table.create()
        projects = [one.project_id for one in PROJECTS]
        self._keys = {project: table.add(project, [Scope.EVENTS], "torture").text for project in projects}
        self._pool = HTTPConnectionPool(settings.intake.host, settings.intake.port)
        self._stream = stream
        self._posted = 0

    def put(self, records: Iterable[tuple[str, bytes]]) -> Iterator[int]:
        """How many more are acknowledged, as they are. Raises StackError when the intake refuses an event."""
        direct = []
        for key, data in records:
            project = _by_http(data)
            if project is None:
                direct.append((key, data))
            else:
                self._post(project, data)
                self._posted += 1
                yield 1
        yield from self._stream.put(direct)

    def copies(self) -> int:
        """How many events are on the stream once more: what was put, and whose answer came too late or not at all.

        The intake puts an event again when Kinesis does not answer, as its sender does when the intake does not.
        """
        there = sum(record.data.startswith(MAGIC) for record in self._stream.records())
        return there - self._posted

    def _post(self, project: int, data: bytes) -> None:
        headers = {"Authorization": f"Bearer {self._keys[project]}", "Request-Id": uuid4().hex}
        while (status := self._status(data, headers)) != 200:
            if status not in _WAITS:
                msg = f"the intake answers {status} to an event"
                raise StackError(msg)
            time.sleep(_PAUSE)

    def _status(self, data: bytes, headers: Mapping[str, str]) -> int:
        """The answer's status; 503 where there is none."""
        try:
            got = self._pool.urlopen(
                "POST", "/amplitude/v1/events", data, headers, retries=False, timeout=_ANSWER_SECONDS
            )
        except HTTPError:
            return 503
        return got.status


def _by_http(data: bytes) -> int | None:
    """The project of an event or a user update that goes over HTTP: by chance, but the same each time."""
    if zlib.crc32(data) % 2:
        return None
    row = decode(data, datetime.now(UTC).replace(tzinfo=None), _REGISTRY)
    project: int | None = row[_PROJECT_AT] if row[0] in {Kind.EVENT, Kind.USER_UPDATE} else None
    return project
