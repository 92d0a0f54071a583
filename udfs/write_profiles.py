"""The writer of profiles: a batch of updates in, merged user by user, acknowledged by DynamoDB before it returns.

An item is written only over the version that it was merged from. A worker that was overtaken, by another one or
by its own predecessor that was believed dead, reads and merges again: nothing counts twice, see `udfs.profile`.
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction

from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.profiles import Key, Profiles, Stored
from udfs import clock, users
from udfs.model import Kind
from udfs.profile import Clock, Profile, Update

log = logging.getLogger(__name__)

CACHED_PROFILES: Final = 10_000
"""Users that a worker need not read again; a few KB each."""
_ATTEMPTS: Final = 50  # a user is overtaken by as many workers as there are, not for ever


class Change(NamedTuple):
    """One row: an update, and the ids that stand beside it."""

    key: Key
    update: Update
    device_id: str | None
    amplitude_id: int | None


class Merged(NamedTuple):
    """A profile as it is in the table, and in memory."""

    stored: Stored
    profile: Profile


class Written(NamedTuple):
    """What came of a batch."""

    profiles: int
    overtaken: int
    refused: int
    """operators that no value took"""
    failed: int
    """updates kept out by an item of no known layout or by a bug of ours; they are in the history"""


class ProfileMerger:
    """Merges changes into the table of profiles. Not for several threads."""

    def __init__(self, table: Profiles, cached: int = CACHED_PROFILES) -> None:
        self.table, self.cached = table, cached
        self._known: OrderedDict[Key, Merged] = OrderedDict()

    def merge(self, changes: Iterable[Change]) -> Written:
        """Write the profiles that the changes make, and return when all are acknowledged. Raises StoreError."""
        pending: dict[Key, list[Change]] = defaultdict(list)
        for change in changes:
            pending[change.key].append(change)
        written = overtaken = refused = 0
        self._failed = 0
        for _ in range(_ATTEMPTS):
            made = self._made(pending)
            lost = self.table.write(stored for stored, _ in made.values())
            for key in lost:
                del made[key], self._known[key]
            for key, (stored, profile) in made.items():
                self._known[key] = Merged(stored._replace(version=stored.version + 1), profile)
                refused, profile.refused = refused + profile.refused, 0
            written, overtaken = written + len(made), overtaken + len(lost)
            pending = {key: pending[key] for key in lost}
            if not pending:
                self._forget()
                return Written(written, overtaken, refused, self._failed)
        msg = f"DynamoDB table {self.table.table}: {len(pending)} profiles change faster than they can be merged"
        raise StoreError(msg)

    def _made(self, pending: Mapping[Key, Sequence[Change]]) -> dict[Key, Merged]:
        """The profiles that are to be written: those that change, and those of users who are new."""
        self._read(key for key in pending if key not in self._known)
        made = {}
        for key, changes in pending.items():
            if key not in self._known:
                self._failed += len(changes)
                continue
            self._known.move_to_end(key)
            stored, profile = self._known[key]
            changed = [change for change in changes if self._applied(profile, change)]
            if changed or not stored.version:
                properties, merge = profile.dump()
                stored = _with_ids(stored, changes)._replace(properties=properties, merge=merge)
                made[key] = Merged(stored, profile)
        return made

    def _read(self, keys: Iterable[Key]) -> None:
        """Know these users, but for those whose item is of no known layout: one of them must not stop all."""
        for key, stored in self.table.read(keys).items():
            try:
                profile = Profile.load(stored.properties, stored.merge) if stored.version else Profile()
            except ValueError as error:
                log.error("the profile of a user of project %d is left alone, see user_updates: %s", key[0], error)
            else:
                self._known[key] = Merged(stored, profile)

    def _applied(self, profile: Profile, change: Change) -> bool:
        try:
            return profile.apply(change.update)
        except MemoryError:
            raise
        except Exception:
            log.exception("an update of project %d was not merged, see user_updates", change.key[0])
            self._failed += 1
            return False

    def _forget(self) -> None:
        while len(self._known) > self.cached:
            self._known.popitem(last=False)


def _with_ids(stored: Stored, changes: Sequence[Change]) -> Stored:
    """With the ids of the newest change that has them."""
    for change in sorted(changes, key=lambda one: one.update.clock):
        stored = stored._replace(
            device_id=change.device_id if users.can_be_id(change.device_id) else stored.device_id,
            amplitude_id=stored.amplitude_id if change.amplitude_id is None else change.amplitude_id,
        )
    return stored


class WriteProfiles(ScalarFunction):  # type: ignore[misc]
    """Columns of `topology.PROFILE_COLUMNS` → the project ids; writes what the rows change."""

    def __init__(self, address: TablesAddress) -> None:
        self.address = address

    def open(self, function_context: FunctionContext) -> None:
        self.merger = ProfileMerger(Profiles(self.address))
        metrics = function_context.get_metric_group()
        self.counters = [metrics.counter(f"profiles_{name}") for name in ("written", "overtaken")]
        self.counters += [metrics.counter(name) for name in ("refused_operators", "failed_updates")]

    def eval(self, *columns: "pd.Series[Any]") -> "pd.Series[Any]":
        written = self.merger.merge(change(*row) for row in zip(*(one.tolist() for one in columns), strict=True))
        for counter, n in zip(self.counters, written, strict=True):
            counter.inc(n)
        return columns[0]

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
    return Change((project_id, user_id), update, device_id, int(amplitude_id) if amplitude_id else None)
