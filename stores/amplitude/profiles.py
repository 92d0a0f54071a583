"""Amplitude's profiles at the time of sending: with a cache, the organisation's limit and a deadline.

One event loop uses it. The requests themselves run in threads: urllib3, which all clients of Amplitude here use,
knows no event loop, and an organisation may make ten of them a second at most.
"""

import asyncio
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Literal, NamedTuple, TypeVar

from errors import OneLineError
from stores.amplitude.bucket import Bucket
from stores.amplitude.user_profile import (
    AmplitudeProfile,
    KeyRefusedError,
    ThrottledError,
    UnavailableError,
    User,
    Wanted,
)
from stores.errors import StoreError

THREADS: Final = 64
_AT_ONCE: Final = 8
"""Requests of an organisation that have no answer yet: one that hangs leaves threads to the others."""
_SOURCE_SECONDS: Final = 15.0
"""How long a source counts, or that there is none, or that its key is refused."""
_PAUSE_SECONDS: Final = 10.0
"""After Amplitude's own word that an organisation asks too much: others of its programs ask too."""

_T = TypeVar("_T")
Ask = Callable[[int, str, User, Wanted], AmplitudeProfile | None]
"""Asks Amplitude: `UserProfileApi`."""
Way = Literal["hit", "asked", "joined", "stale", "failed"]


class Source(NamedTuple):
    """How to ask for the profiles of a project."""

    secret_key: str
    organisation: str
    """projects of one organisation share its limit"""

    def __repr__(self) -> str:
        """Without the key."""
        return f"<source of organisation {self.organisation}>"


class Found(NamedTuple):
    """What is known of a user."""

    profile: AmplitudeProfile | None
    """None for a user whom Amplitude has not seen in this project"""
    age: float = 0.0
    """seconds since Amplitude said so"""


class Limits(NamedTuple):
    """What a profile may cost."""

    fresh_seconds: float = 300
    """an answer counts so long without being asked for again"""
    stale_seconds: float = 86_400
    """and so much longer where Amplitude has no other"""
    users: int = 10_000
    """answers kept of each project; those that nobody has asked for longest go first"""
    per_minute: int = 600
    """requests of an organisation"""


class _Cached(NamedTuple):
    profile: AmplitudeProfile | None
    at: float


class Cache:
    """The newest answers about one project's users."""

    def __init__(self, most: int) -> None:
        self._most, self._kept = most, OrderedDict[tuple[User, Wanted], _Cached]()

    def get(self, key: tuple[User, Wanted]) -> _Cached | None:
        """The answer, if it is kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: tuple[User, Wanted], one: _Cached) -> None:
        """Keep an answer, in place of the one that is least asked for if there are too many."""
        self._kept[key] = one
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


class _Lane:
    """What the projects of an organisation share."""

    def __init__(self, organisation: str, per_minute: int) -> None:
        self._organisation, self._bucket = organisation, Bucket(per_minute)
        self._places = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def place(self, clock: Callable[[], float], patience: float) -> AsyncIterator[Bucket]:
        """Wait for one of the places and a token, `patience` seconds in all; the bucket.

        Raises UnavailableError, ThrottledError.
        """
        by = clock() + patience
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            msg = f"{_AT_ONCE} requests of organisation {self._organisation} have no answer yet"
            raise UnavailableError(msg) from None
        try:
            wait = self._bucket.take(clock(), max(0.0, by - clock()))
            if wait is None:
                msg = f"organisation {self._organisation} has used up its requests to Amplitude of this minute"
                raise ThrottledError(msg)
            await asyncio.sleep(wait)
            yield self._bucket
        finally:
            self._places.release()


class Profiles:
    """Profiles of all projects. `counts` says how look-ups ended, by the way in which they got their answer."""

    def __init__(
        self,
        source_of: Callable[[int], Source],
        ask: Ask,
        limits: Limits = Limits(),  # noqa: B008  frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`source_of` gives a project's source or raises OneLineError; it may wait, and is called in a thread."""
        self._source_of, self._ask, self._limits, self._clock = source_of, ask, limits, clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="amplitude-profiles")
        self._caches = defaultdict[int, Cache](lambda: Cache(limits.users))
        self._lanes: dict[str, _Lane] = {}
        self._sources: dict[int, tuple[Source | OneLineError, float]] = {}
        self._flights: dict[tuple[int, User, Wanted], asyncio.Task[AmplitudeProfile | None]] = {}
        self.counts: Counter[Way] = Counter()

    async def get(self, project_id: int, user: User, *, deadline: float, wanted: Wanted = Wanted()) -> Found:  # noqa: B008  frozen
        """What Amplitude knows of a user, within `deadline` seconds.

        Look-ups of the same user share a request, which goes on behind their deadlines and fills the cache. Where
        Amplitude has no answer, or the limit no request left, an answer that was kept counts for longer. Raises
        ThrottledError, UnavailableError or StoreError where there is none, KeyRefusedError, AmplitudeError.
        """
        kept = self._caches[project_id].get((user, wanted))
        age = self._clock() - kept.at if kept else 0.0
        if kept and age < self._limits.fresh_seconds:
            return self._counted("hit", kept.profile, age)
        try:
            return await self._asked(project_id, user, wanted, deadline)
        except OneLineError as error:
            age = self._clock() - kept.at if kept else 0.0
            may_pass = isinstance(error, (ThrottledError, UnavailableError, StoreError))
            if kept and may_pass and age < self._limits.fresh_seconds + self._limits.stale_seconds:
                return self._counted("stale", kept.profile, age)
            self.counts["failed"] += 1
            raise

    def close(self) -> None:
        """Let the threads go; requests without an answer are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _counted(self, way: Way, profile: AmplitudeProfile | None, age: float = 0.0) -> Found:
        self.counts[way] += 1
        return Found(profile, age)

    async def _asked(self, project_id: int, user: User, wanted: Wanted, deadline: float) -> Found:
        key = (project_id, user, wanted)
        way: Way = "joined" if key in self._flights else "asked"
        if way == "asked":
            # whoever waits for a token has as long again for the answer
            started = asyncio.create_task(self._flight(*key, patience=deadline / 2))
            self._flights[key] = started
            started.add_done_callback(partial(self._landed, key))
        try:
            async with asyncio.timeout(deadline):
                return self._counted(way, await asyncio.shield(self._flights[key]))
        except TimeoutError:
            msg = f"Amplitude has not answered within {deadline:g} s: try again, or allow more"
            raise UnavailableError(msg) from None

    def _landed(self, key: tuple[int, User, Wanted], done: asyncio.Task[AmplitudeProfile | None]) -> None:
        del self._flights[key]
        if not done.cancelled():
            done.exception()  # nobody may be left who would hear of it

    async def _flight(
        self, project_id: int, user: User, wanted: Wanted, patience: float
    ) -> AmplitudeProfile | None:
        source = await self._source(project_id)
        lane = self._lanes.get(source.organisation)
        if lane is None:
            lane = self._lanes[source.organisation] = _Lane(source.organisation, self._limits.per_minute)
        async with lane.place(self._clock, patience) as bucket:
            ask = partial(self._ask, project_id, source.secret_key, user, wanted)
            try:
                profile = await self._in_thread(ask)
            except ThrottledError:
                bucket.pause(self._clock() + _PAUSE_SECONDS)
                raise
            except KeyRefusedError as error:
                self._sources[project_id] = error, self._clock()
                raise
        self._caches[project_id].put((user, wanted), _Cached(profile, self._clock()))
        return profile

    async def _source(self, project_id: int) -> Source:
        found, at = self._sources.get(project_id, (None, 0.0))
        if found is None or self._clock() - at >= _SOURCE_SECONDS:
            try:
                found = await self._in_thread(partial(self._source_of, project_id))
            except OneLineError as error:
                found = error
            self._sources[project_id] = found, self._clock()
        if isinstance(found, Source):
            return found
        raise found.with_traceback(None)  # it is raised again and again

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
