"""The writer of profiles: a batch of updates in, merged user by user, acknowledged by DynamoDB before it returns.

An item is written only over the version that it was merged from. A worker that was overtaken, by another one or
by its own predecessor that was believed dead, reads and merges again: nothing counts twice, see `udfs.profile`.

All users of a batch wait for the slowest of them, so what one user may cost has a bound: the updates of a batch
are merged together, in time that grows with their bytes, into a profile that is written once and has a largest
size.
"""

import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.profiles import Key, Profiles, StoredProfile
from udfs import clock, users
from udfs.model import Kind
from udfs.profile import Clock, Profile, Update

log = logging.getLogger(__name__)

CACHED_PROFILES, CACHED_CHARACTERS = 10_000, 2**25
"""Users that a worker need not read again, a few KB each: no more than either of these."""
CACHED_LISTS: Final = 2**26
"""Bytes that a worker holds of them beside, so that late list operators find their places."""
LARGEST: Final = 2 * 2**20
"""Characters of a profile and of what merging needs; an update that makes more of it is left out."""
SLOW: Final = 1.0
"""Seconds of a batch from which on one user is named in the log."""
_ATTEMPTS: Final = 50  # a user is overtaken by as many workers as there are, not for ever


class Change(NamedTuple):
    """One row: an update, and the ids that stand beside it."""

    key: Key
    update: Update
    device_id: str | None
    amplitude_id: int | None


class Merged(NamedTuple):
    """A profile as it is in the table, and in memory."""

    stored: StoredProfile
    profile: Profile

    @property
    def size(self) -> int:
        """Characters of its texts."""
        return len(self.stored.properties) + len(self.stored.merge)


class Known:
    """Profiles that need not be read again: those used last, as many as fit."""

    def __init__(self, profiles: int, characters: int, lists: int = CACHED_LISTS) -> None:
        self.profiles, self.characters, self.lists = profiles, characters, lists
        self._held: OrderedDict[Key, Merged] = OrderedDict()
        self._size = 0
        self._with_lists: OrderedDict[Key, int] = OrderedDict()
        self._lists_size = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def use(self, key: Key) -> Merged:
        """A profile that is known, now the one used last."""
        self._held.move_to_end(key)
        return self._held[key]

    def put(self, key: Key, merged: Merged) -> None:
        """Know this of a user from now on."""
        self.drop(key)
        self._held[key] = merged
        self._size += merged.size
        if size := merged.profile.size:
            self._with_lists[key] = size
            self._lists_size += size

    def drop(self, key: Key) -> None:
        """Know nothing of a user any more."""
        if key in self._held:
            self._size -= self._held.pop(key).size
            self._lists_size -= self._with_lists.pop(key, 0)

    def forget(self) -> None:
        """Drop those used longest ago until the others fit; then of lists what is more than texts."""
        while len(self._held) > self.profiles or self._size > self.characters:
            self.drop(next(iter(self._held)))
        while self._lists_size > self.lists:
            key, size = self._with_lists.popitem(last=False)
            self._held[key].profile.forget()
            self._lists_size -= size


class Written(NamedTuple):
    """What came of a batch."""

    profiles: int
    overtaken: int
    refused: int
    """operators that no value took"""
    failed: int
    """updates kept out by an item of no known layout, by a profile's largest size or by a bug of ours; they are in
    the history"""
    slow: int = 0
    """users who took more than `SLOW` seconds each"""


class ProfileMerger:
    """Merges changes into the table of profiles. Not for several threads."""

    def __init__(self, table: Profiles) -> None:
        self.table = table
        self._known = Known(CACHED_PROFILES, CACHED_CHARACTERS)
        self._failed = 0
        self._slow: set[Key] = set()

    def merge(self, changes: Iterable[Change]) -> Written:
        """Write the profiles that the changes make, and return when all are acknowledged. Raises StoreError."""
        pending: dict[Key, list[Change]] = defaultdict(list)
        for change in changes:
            pending[change.key].append(change)
        written = overtaken = refused = 0
        self._failed = 0
        self._slow.clear()
        for _ in range(_ATTEMPTS):
            made = self._made(pending)
            lost = self.table.write((stored for stored, _ in made.values()), self._watched)
            for key in lost:
                del made[key]
                self._known.drop(key)
            for key, (stored, profile) in made.items():
                self._known.put(key, Merged(stored._replace(version=stored.version + 1), profile))
                refused += profile.take_refused()
            written, overtaken = written + len(made), overtaken + len(lost)
            pending = {key: pending[key] for key in lost}
            if not pending:
                self._known.forget()
                return Written(written, overtaken, refused, self._failed, len(self._slow))
        msg = f"{self.table.table}: {len(pending)} profiles change faster than they can be merged"
        raise StoreError(msg)

    def _made(self, pending: Mapping[Key, Sequence[Change]]) -> dict[Key, Merged]:
        """The profiles that are to be written: those that change, and those of users who are new."""
        self._read(key for key in pending if key not in self._known)
        made, lists = dict[Key, Merged](), 0
        for key, changes in pending.items():
            if key not in self._known:
                self._failed += len(changes)
                continue
            with self._watched(key):
                merged = self._merged(key, changes)
            if merged is not None:
                made[key] = merged
                lists += merged.profile.size
                if lists > CACHED_LISTS:  # many users of a batch may have long ones
                    merged.profile.forget()
        return made

    def _merged(self, key: Key, changes: Sequence[Change]) -> Merged | None:
        """The profile with the changes; None when there is nothing to write."""
        stored, profile = self._known.use(key)
        changed = [change for change in changes if self._applied(profile, change)]
        if stored.version and not changed:
            return None
        try:
            properties, merge = profile.dump()
        except MemoryError:
            raise
        except Exception:
            log.exception("updates of project %d were not merged, see user_updates", key.project_id)
            self._leave_out(key, len(changed))
            return None
        made = Merged(_with_ids(stored, changes)._replace(properties=properties, merge=merge), profile)
        if made.size > max(LARGEST, Merged(stored, profile).size):
            words = (
                "%d updates of user %r of project %d are left out, see user_updates: a profile of %d characters"
            )
            log.error(f"{words} is larger than %d", len(changed), key.user_id, key.project_id, made.size, LARGEST)
            self._leave_out(key, len(changed))
            return None
        return made

    def _leave_out(self, key: Key, changed: int) -> None:
        self._failed += changed
        self._known.drop(key)  # it holds what is left out: the next batch reads it again

    @contextmanager
    def _watched(self, key: Key) -> Iterator[None]:
        """Name a user who takes long, for whoever asks why others wait."""
        begin = time.monotonic()
        yield
        took = time.monotonic() - begin
        if took > SLOW:
            words = "user %r of project %d took %.1f s of a batch of updates"
            log.warning(words, key.user_id, key.project_id, took)
            self._slow.add(key)

    def _read(self, keys: Iterable[Key]) -> None:
        """Know these users, but for those whose item is of no known layout: one of them must not stop all."""
        for key, stored in self.table.of_users(keys).items():
            try:
                profile = Profile.load(stored.properties, stored.merge) if stored.version else Profile()
            except ValueError as error:
                words = "the profile of a user of project %d is left alone, see user_updates: %s"
                log.error(words, key.project_id, error)
            else:
                self._known.put(key, Merged(stored, profile))

    def _applied(self, profile: Profile, change: Change) -> bool:
        try:
            return profile.apply(change.update)
        except MemoryError:
            raise
        except Exception:
            log.exception("an update of project %d was not merged, see user_updates", change.key.project_id)
            self._failed += 1
            return False


def _with_ids(stored: StoredProfile, changes: Sequence[Change]) -> StoredProfile:
    """With the ids of the newest change that has them."""
    for change in sorted(changes, key=lambda one: one.update.clock):
        stored = stored._replace(
            device_id=change.device_id if users.can_be_id(change.device_id) else stored.device_id,
            amplitude_id=stored.amplitude_id if change.amplitude_id is None else change.amplitude_id,
        )
    return stored


class WriteProfiles(ScalarFunction):  # type: ignore[misc]
    """`PROFILE_COLUMNS` of jobs/ingest/profiles.py → the project ids; writes what the rows change."""

    def __init__(self, address: TablesAddress) -> None:
        self.address = address

    def open(self, function_context: FunctionContext) -> None:
        profiles = Profiles(self.address)
        self.merger, self.throttles = ProfileMerger(profiles), profiles.table.throttles()
        metrics = function_context.get_metric_group()
        names = ("profiles_written", "profiles_overtaken", "refused_operators", "failed_updates", "slow_users")
        self.counters = [metrics.counter(name) for name in names]
        self.throttled = metrics.counter("throttled_requests")

    def eval(self, project_id: "pd.Series[int]", *others: "pd.Series[Any]") -> "pd.Series[int]":
        written = self.merger.merge(map(change, *(column.tolist() for column in (project_id, *others))))
        for counter, n in zip(self.counters, written, strict=True):
            counter.inc(n)
        self.throttled.inc(self.throttles.take())
        return project_id

    def is_deterministic(self) -> bool:
        return False  # it writes: the planner must neither repeat nor drop a call


def change(  # noqa: PLR0913, PLR0917  one argument per column
    project_id: int,
    user_id: str,
    device_id: str | None,
    amplitude_id: str | None,
    kind: str,
    name: str,
    identity_hash: bytes,
    server_upload_time: str | None,
    processed_time: str | None,
    event_id: str | None,
    arrival: str,
    sequence: str,
    sub_index: str | None,
    user_properties: str,
) -> Change:
    """A row as a change; times and nullable numbers come as text, which pandas leaves exact."""
    at = Clock(
        clock.microseconds(datetime.fromisoformat(server_upload_time or arrival)),
        clock.microseconds(datetime.fromisoformat(processed_time)) if processed_time else -1,
        int(event_id) if event_id else -1,
        int(sequence),
        int(sub_index) if sub_index else -1,
    )
    update = Update(at, identity_hash, name, user_properties, kind == Kind.EVENT)
    return Change(Key(project_id, user_id), update, device_id, int(amplitude_id) if amplitude_id else None)
