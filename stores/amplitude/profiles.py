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
from stores.amplitude.bucket import Buckets, Quotas
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
_TRY_SECONDS: Final = 1.0
"""How often a project that fails is tried for those who have an old answer."""
_PAUSE_SECONDS: Final = 10.0
"""After Amplitude's own word that an organisation asks too much: others of its programs ask too."""

_MAY_PASS: Final = (ThrottledError, UnavailableError, StoreError)
_T = TypeVar("_T")
_Key = tuple[int, User, Wanted]
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

    def __init__(self, organisation: str, quotas: Quotas) -> None:
        self._organisation, self._quotas = organisation, quotas
        self._places, self._taking = asyncio.Semaphore(_AT_ONCE), asyncio.Lock()

    @asynccontextmanager
    async def place(self, threads: ThreadPoolExecutor, patience: float) -> AsyncIterator[None]:
        """Wait for a token, then for one of the places, `patience` seconds for each.

        Raises ThrottledError, UnavailableError, StoreError.
        """
        take = partial(self._quotas.take, self._organisation, patience)
        async with self._taking:
            wait = await asyncio.get_running_loop().run_in_executor(threads, take)
        if wait is None:
            msg = f"organisation {self._organisation} has used up its requests to Amplitude of this minute"
            raise ThrottledError(msg)
        await asyncio.sleep(wait)
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            msg = f"{_AT_ONCE} requests of organisation {self._organisation} have no answer yet"
            raise UnavailableError(msg) from None
        try:
            yield
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
        quotas: Quotas | None = None,
    ) -> None:
        """`source_of` gives a project's source or raises OneLineError; it may wait, and is called in a thread.

        Without `quotas` this process asks alone.
        """
        self._source_of, self._ask, self._limits, self._clock = source_of, ask, limits, clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="amplitude-profiles")
        self._caches = defaultdict[int, Cache](lambda: Cache(limits.users))
        alone = Buckets(limits.per_minute, clock)
        self._quotas = quotas or Quotas(alone.take, alone.pause)
        self._lanes: dict[str, _Lane] = {}
        self._sources: dict[int, tuple[Source | OneLineError, float]] = {}
        self._flights: dict[_Key, asyncio.Task[AmplitudeProfile | None]] = {}
        self._failing: dict[int, float] = {}
        self.counts: Counter[Way] = Counter()

    async def get(self, project_id: int, user: User, *, deadline: float, wanted: Wanted = Wanted()) -> Found:  # noqa: B008  frozen
        """What Amplitude knows of a user, within `deadline` seconds.

        Look-ups of the same user share a request, which goes on behind their deadlines and fills the cache. Where
        Amplitude has no answer, or the limit no request left, an answer that was kept counts for longer, and is
        given at once until a request succeeds. Raises
        ThrottledError, UnavailableError or StoreError where there is none, KeyRefusedError, AmplitudeError.
        """
        key = (project_id, user, wanted)
        kept = self._caches[project_id].get((user, wanted))
        age = self._clock() - kept.at if kept else float("inf")
        if kept and age < self._limits.fresh_seconds:
            return self._counted("hit", kept.profile, age)
        if age >= self._limits.fresh_seconds + self._limits.stale_seconds:
            kept = None
        if kept and project_id in self._failing:
            if self._clock() - self._failing[project_id] >= _TRY_SECONDS:
                self._failing[project_id] = self._clock()
                self._begin(key, patience=0)
            return self._counted("stale", kept.profile, age)
        try:
            return await self._asked(key, deadline)
        except OneLineError as error:
            if kept and isinstance(error, _MAY_PASS):
                return self._counted("stale", kept.profile, self._clock() - kept.at)
            self.counts["failed"] += 1
            raise

    def close(self) -> None:
        """Let the threads go; requests without an answer are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _counted(self, way: Way, profile: AmplitudeProfile | None, age: float = 0.0) -> Found:
        self.counts[way] += 1
        return Found(profile, age)

    async def _asked(self, key: _Key, deadline: float) -> Found:
        way: Way = "joined" if key in self._flights else "asked"
        flight = self._begin(
            key, patience=deadline / 2
        )  # whoever waits for a token has as long again for the answer
        try:
            async with asyncio.timeout(deadline):
                return self._counted(way, await asyncio.shield(flight))
        except TimeoutError:
            self._failing.setdefault(key[0], self._clock())
            msg = f"Amplitude has not answered within {deadline:g} s: try again, or allow more"
            raise UnavailableError(msg) from None

    def _begin(self, key: _Key, patience: float) -> asyncio.Task[AmplitudeProfile | None]:
        """The request for a user, which is made unless one is under way."""
        if key not in self._flights:
            self._flights[key] = asyncio.create_task(self._flight(*key, patience=patience))
            self._flights[key].add_done_callback(partial(self._landed, key))
        return self._flights[key]

    def _landed(self, key: _Key, done: asyncio.Task[AmplitudeProfile | None]) -> None:
        del self._flights[key]
        if not done.cancelled() and isinstance(done.exception(), _MAY_PASS):
            self._failing[key[0]] = self._clock()
        else:
            self._failing.pop(key[0], None)

    async def _flight(
        self, project_id: int, user: User, wanted: Wanted, patience: float
    ) -> AmplitudeProfile | None:
        source = await self._source(project_id)
        lane = self._lanes.get(source.organisation)
        if lane is None:
            lane = self._lanes[source.organisation] = _Lane(source.organisation, self._quotas)
        async with lane.place(self._threads, patience):
            ask = partial(self._ask, project_id, source.secret_key, user, wanted)
            try:
                profile = await self._in_thread(ask)
            except ThrottledError:
                await self._in_thread(partial(self._quotas.pause, source.organisation, _PAUSE_SECONDS))
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
