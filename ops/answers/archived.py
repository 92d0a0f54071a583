"""Amplitude's own archives beside the tables: what has become of each row, by the hour of its upload.

A row is judged by the job's own rule. An event is found in the event store by its identity, among the rows of the
same hour of upload: Amplitude sets that time, and repeats it with each delivery (docs/amplitude.md §8.1, an
assumption about Amplitude). What is not taken is found among the dead letters by its bytes. In memory are the
identities of some hours, and the digests of dead letters.
"""

import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

import msgspec

from errors import OneLineError
from stores.archives import ArchiveError, Member
from stores.lake import DEAD_LETTERS, EVENT_STORE, Condition, Lake
from stores.project import Project
from udfs import clock
from udfs.attribute import Registry
from udfs.decode import decode
from udfs.model import DECODED, EVENT_PREFIX, Kind, Reason

Outcome = Literal["stored", "before", "copy", "rejected", "left out", "erased", "missing"]
_HOURS_KEPT: Final = 30
"""How many hours' identities are in memory: rows of an archive are nearly in the order of their upload."""
_HOUR: Final = timedelta(hours=1)
_AT: Final = {name: at for at, name in enumerate(DECODED)}
NO_EVENT: Final = {Kind.USER_UPDATE: "user_update", Kind.COHORT: "cohort"}
"""By kind: the word for what an archive of events has none of (docs/amplitude.md §6), and is left out."""


class Whose(NamedTuple):
    """What a row says by which an erasure finds it; None where it does not say that."""

    user_id: str | None = None
    amplitude_id: int | None = None
    event: str | None = None
    """Amplitude's name of it"""
    uploaded: datetime | None = None
    """aware, UTC"""


class Row(NamedTuple):
    """A line of an archive, as the job's rule has it."""

    member: Member
    line: int
    data: bytes
    hour: datetime | None
    """of its upload; aware, UTC; None where it says none that can be"""
    kind: str
    reason: str | None
    identity: str | None
    kept: bool = True
    """whether the job would keep its bytes, where it does not take it"""
    whose: Whose = Whose()


class Judged(NamedTuple):
    """A row, and what has become of it; `why` names the reason where it is not taken."""

    row: Row
    outcome: Outcome
    why: str | None = None


@dataclass
class Hour:
    """The rows of an hour of upload."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    twice: int = 0
    """rows of the event store beyond the first of an identity"""

    @property
    def rows(self) -> int:
        """Amplitude's count."""
        return self.outcomes.total()

    @property
    def duplicates(self) -> int:
        """Rows that were stored before, and copies within the archive."""
        return self.outcomes["before"] + self.outcomes["copy"]

    @property
    def rejected(self) -> int:
        """Rows that are no events of the project, whether they were put or left out."""
        return self.outcomes["rejected"] + self.outcomes["left out"]


@dataclass
class Comparison:
    """All rows of the archives, by hour, and why some are not taken."""

    hours: defaultdict[datetime | None, Hour] = field(default_factory=lambda: defaultdict(Hour))
    why: Counter[tuple[Outcome, str]] = field(default_factory=Counter)
    before_link: datetime | None = None
    """the first hour of rows from before the link"""

    def count(self, outcome: Outcome) -> int:
        """Rows of all hours."""
        return sum(hour.outcomes[outcome] for hour in self.hours.values())

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(hour.rows for hour in self.hours.values())

    @property
    def residual(self) -> int:
        """Rows that are nowhere, and rows that are stored twice."""
        return self.count("missing") + sum(hour.twice for hour in self.hours.values())

    def add(self, one: Judged) -> None:
        """Count a row."""
        self.hours[one.row.hour].outcomes[one.outcome] += 1
        if one.why:
            self.why[one.outcome, one.why] += 1
        if one.why == Reason.BEFORE_LINK and one.row.hour:
            self.before_link = min(self.before_link or one.row.hour, one.row.hour)


class WrongProjectError(OneLineError):
    """An archive of another project."""


def rows(member: Member, project: Project, now: datetime, longest: int, skip: int = 0) -> Iterator[Row]:
    """The rows of a file behind its first lines, blank lines left out; `longest` is in bytes.

    Raises ArchiveError where it is damaged or holds something else, WrongProjectError where a row is of another
    project.
    """
    registry: Registry = {project.project_id: project}
    arrival = now.astimezone(UTC).replace(tzinfo=None)
    for line, data in enumerate(member.lines(longest), 1):
        if line <= skip or not data.strip():
            continue
        if len(data) > longest:
            yield Row(member, line, data, _of_name(member), Kind.REJECTED, Reason.TOO_LARGE, None, kept=False)
            continue
        found = decode(data, arrival, registry)
        kind, reason, app = found[_AT["kind"]], found[_AT["reason"]], found[_AT["project_id"]]
        if kind == Kind.ENVELOPE:
            form = found[_AT["detail"]]
            msg = f"{member.name} is no file of Amplitude's: line {line:,} holds several records ({form})"
            raise ArchiveError(msg)
        if reason == Reason.UNKNOWN_PROJECT:
            msg = (
                f"{member.name} is not of project {project.project_id}: its line {line:,} is of project {app}; "
                "nothing of it was put"
            )
            raise WrongProjectError(msg)
        whose = _said(data) if reason else _whose(found)
        hour = _hour(whose.uploaded) or (_of_name(member) if reason else None)
        kept = not reason or found[_AT["payload"]] is not None
        yield Row(member, line, data, hour, kind, reason, found[_AT["identity"]], kept, whose)


def _whose(found: Sequence[Any]) -> Whose:
    """The same of a row that is taken."""
    user_id, amplitude_id, name, uploaded = (
        found[_AT[column]] for column in ("user_id", "amplitude_id", "name", "server_upload_time")
    )
    event = name.removeprefix(EVENT_PREFIX) if name else None
    return Whose(user_id, amplitude_id, event, uploaded and uploaded.replace(tzinfo=UTC))


class _Said(msgspec.Struct):
    server_upload_time: Any = None
    user_id: Any = None
    amplitude_id: Any = None
    event_type: Any = None


def _said(data: bytes) -> Whose:
    """What a row says that is not taken, if it can be read."""
    try:
        said = msgspec.json.decode(data, type=_Said)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Whose()
    uploaded = clock.timestamp(said.server_upload_time)
    return Whose(
        said.user_id if isinstance(said.user_id, str) else None,
        said.amplitude_id if isinstance(said.amplitude_id, int) else None,
        said.event_type if isinstance(said.event_type, str) else None,
        uploaded and uploaded.replace(tzinfo=UTC),
    )


def _of_name(member: Member) -> datetime | None:
    """The hour that Amplitude names a file by: `434735_2026-03-01_9#0.json.gz`."""
    found = re.search(r"_(\d{4}-\d{2}-\d{2})_(\d{1,2})(?:#|\.)", member.inside or member.path)
    try:
        return found and datetime.fromisoformat(f"{found[1]}T{int(found[2]):02}:00Z")
    except ValueError:
        return None


def _hour(uploaded: datetime | None) -> datetime | None:
    return uploaded and uploaded.replace(minute=0, second=0, microsecond=0)


class Judge:
    """Tells what has become of rows of one project; `since` is when the backfill began, by the stream's clock."""

    def __init__(self, lake: Lake, project_id: int, since: datetime) -> None:
        self.lake, self.project_id, self.since = lake, project_id, since
        self._hours: OrderedDict[datetime | None, dict[str, bool]] = OrderedDict()
        self._seen: dict[datetime | None, set[str]] = {}
        self._letters: set[str] | None = None
        self.twice: dict[datetime | None, int] = {}

    def __call__(self, row: Row) -> Judged:
        """What has become of it. Raises StoreError."""
        if row.identity is not None and row.kind == Kind.EVENT:
            return Judged(row, self._of_event(row.hour, row.identity))
        if row.kind in NO_EVENT:
            return Judged(row, "left out", NO_EVENT[Kind(row.kind)])
        if not row.kept:  # nothing would be found of it
            return Judged(row, "left out", row.reason)
        return Judged(
            row, "rejected" if sha256(row.data).hexdigest() in self._dead(row.hour) else "missing", row.reason
        )

    def _of_event(self, hour: datetime | None, identity: str) -> Outcome:
        stored = self._stored(hour)
        if identity in self._seen[hour]:
            return "copy"
        self._seen[hour].add(identity)
        if identity not in stored:
            return "missing"
        return "before" if stored[identity] else "stored"

    def _stored(self, hour: datetime | None) -> dict[str, bool]:
        """By identity of the events of an hour: whether it was there before."""
        if hour not in self._hours:
            if len(self._hours) == _HOURS_KEPT:
                oldest, _ = self._hours.popitem(last=False)
                del self._seen[oldest]
            self._hours[hour], self._seen[hour] = self._read(hour), set()
        self._hours.move_to_end(hour)
        return self._hours[hour]

    def _read(self, hour: datetime | None) -> dict[str, bool]:
        where = [Condition("project_id", "=", self.project_id)]
        if hour is None:
            where += [Condition("server_upload_time", "=", None)]
        else:
            where += [
                Condition("server_upload_time", ">=", hour),
                Condition("server_upload_time", "<", hour + _HOUR),
            ]
        stored: dict[str, bool] = {}
        found = 0
        for piece in self.lake.pieces(EVENT_STORE, ("identity", "arrival"), where):
            found += piece.num_rows
            for identity, arrival in zip(piece["identity"].to_pylist(), piece["arrival"].to_pylist(), strict=True):
                stored[identity] = stored.get(identity, False) or arrival < self.since
        self.twice[hour] = found - len(stored)
        return stored

    def _dead(self, hour: datetime | None) -> set[str]:
        """Digests of the project's dead letters, and of those of no project, that may be of these archives."""
        if self._letters is None:
            # a row cannot have arrived before Amplitude uploaded it; a day for rows that are out of order
            begin = min(self.since, hour - timedelta(days=1)) if hour else self.since
            self._letters = {
                digest
                for project in (self.project_id, None)
                for digest in self._digests(
                    [Condition("project_id", "=", project), Condition("arrival", ">=", begin)]
                )
            }
        return self._letters

    def _digests(self, where: Sequence[Condition]) -> Iterator[str]:
        for piece in self.lake.pieces(DEAD_LETTERS, ("payload", "payload_sha256"), where):
            for payload, cut in zip(
                piece["payload"].to_pylist(), piece["payload_sha256"].to_pylist(), strict=True
            ):
                if cut or payload is not None:
                    yield cut or sha256(payload).hexdigest()


def compared(
    found: Iterable[Judged],
    judge: Judge,
    hours: Iterable[datetime | None] = (),
    tell: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Count judged rows; `hours` are there even without rows, and `tell` hears how many rows are done."""
    result = Comparison()
    result.hours.update((hour, Hour()) for hour in hours)
    for done, one in enumerate(found, 1):
        result.add(one)
        if done % 1000 == 0:
            tell(done)
    for hour, more in judge.twice.items():
        result.hours[hour].twice = more
    return result


def accounts(comparison: Comparison) -> Iterator[Mapping[str, Any]]:
    """By hour: Amplitude's count and what it consists of, as tables and JSON have it."""
    for hour, one in sorted(comparison.hours.items(), key=lambda item: str(item[0])):
        yield {
            "hour": hour and hour.isoformat(),
            "amplitude": one.rows,
            "stored": one.outcomes["stored"],
            "duplicates": one.duplicates,
            "rejected": one.rejected,
            "erased": one.outcomes["erased"],
            "missing": one.outcomes["missing"],
            "twice": one.twice,
        }
