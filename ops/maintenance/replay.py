"""What was not taken, put on the stream again for the job to judge anew.

One front door: the stream. What is put is noted in table `replays` as soon as Kinesis has acknowledged it, so that
it is put once; what is still not taken becomes a dead letter once more, which waits in its place. A replay that is
killed in between leaves at most one request's records without a note: they are put again, and the job removes
copies. Of letters with the same bytes one is put, for all of them.

What the registry has no owner for, as it is now, is not put: most of that would come back without its bytes.
"""

from collections import defaultdict, deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, NamedTuple

from ops.answers import replayed
from ops.answers.record import Everyone
from ops.answers.replayed import State
from ops.maintenance.pace import paced
from ops.maintenance.whoami import whoami
from settings import Settings
from stores.cohorts import Cohorts
from stores.lake import DEAD_LETTERS, Condition, Lake
from stores.projects import Projects
from stores.registry import Registry, registered
from stores.replays import Asked, Replay, Replays, letter_key
from stores.stream import PUT_RECORDS_MAX, Place, Stream
from udfs import clock, intake
from udfs.decode import decode_part, leaves
from udfs.intake import Header, MacKeys
from udfs.model import DECODED, Kind, Reason, Row

_COLUMNS: Final = (
    *("shard", "sequence", "sub_index", "project_id", "reason"),
    *("arrival", "request_id", "payload", "payload_sha256"),
)
_LONGEST_NAME: Final = 1_000  # as the counts by name have it
_AT: Final = {name: at for at, name in enumerate(DECODED)}
_REFUSED: Final = {
    *(Reason.UNKNOWN_PROJECT, Reason.UNKNOWN_COHORT, Reason.BEFORE_LINK, Reason.UNLINKED),
    Reason.SCOPE_MISSING,
}


class Letter(NamedTuple):
    """What tells a dead letter from all others."""

    shard: str
    sequence: str
    sub_index: int | None
    project_id: int | None
    reason: str
    arrival: datetime
    request_id: str | None
    """of the intake, if that has brought it"""
    digest: str
    """of the payload, should it be kept whole, and of the project whose access key has brought it"""

    @property
    def key_project(self) -> int | None:
        """The project whose access key has brought it."""
        return self.project_id if self.request_id else None

    @property
    def letter(self) -> str:
        """All of that as the table of replays has it."""
        return f"{letter_key(*self[:5])} {self.digest}"


class Refusal(NamedTuple):
    """What a letter would come back as."""

    reason: str
    project_id: int | None
    """None of a cohort that nobody has registered"""


@dataclass
class Refused:
    """Letters that would come back as the same."""

    letters: int = 0
    uploaded_from: datetime | None = None
    """the earliest upload, naive UTC; None where no letter says one"""


@dataclass
class Tally:
    """What a replay comes to."""

    records: int = 0
    """to be put"""
    settled: int = 0
    """letters that are in another state than is asked for"""
    unkept: int = 0
    """letters whose payload is cut or not kept"""
    unregistered: int = 0
    """letters whose owner the registry did not know"""
    refused: defaultdict[Refusal, Refused] = field(default_factory=lambda: defaultdict(Refused))
    """letters that would not be taken: the registry has no owner for them as it is now, or their key no scope"""
    twins: defaultdict[str, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    """by digest: the letters whose payload another one has already"""


_UNREGISTERED: Final = {reason.value for reason in Reason if reason.kind is Kind.QUARANTINED}


class Letters:
    """Dead letters that meet all conditions and are in a state."""

    def __init__(
        self, settings: Settings, conditions: Sequence[Condition], state: State, *, anyway: bool = False
    ) -> None:
        """Read who has an owner; `anyway`, those without one, or a scope, are among them. Raises StoreError."""
        self.lake, self.where, self.state = Lake(settings.lake_address), conditions, state
        tables = settings.tables_address
        self._replayed = set(Replays(tables).letters(*replayed.window(conditions)))
        self._keys = MacKeys(settings.intake.mac_keys_file)
        self._scopes: Mapping[str, tuple[str, ...]] = {} if anyway else {Reason.SCOPE_MISSING: ()}
        self._owners = Owners(Everyone() if anyway else registered(Projects(tables), Cohorts(tables)), self._keys)

    def tally(self) -> Tally:
        """Look at all of them once. Raises StoreError."""
        found, seen = Tally(), set[str]()
        for one, payload in self._all():
            if not self._wanted(one):
                found.settled += 1
            elif payload is None:
                found.unkept += 1
            elif one.digest in seen:
                found.twins[one.digest].append(one)
            elif refusal := self._owners.refusal(self.record(one, payload)):
                self._owners.add(found.refused[refusal], self.record(one, payload))
            else:
                seen.add(one.digest)
                found.unregistered += one.reason in _UNREGISTERED
        found.records = len(seen)
        return found

    def distinct(self, twins: Container[str]) -> Iterator[tuple[Letter, bytes]]:
        """One of each payload with its bytes; `twins` are the digests of those that several have."""
        seen = set()
        for one, payload in self._all():
            if payload is None or not self._wanted(one) or one.digest in seen:
                continue
            if self._owners.refusal(self.record(one, payload)):
                continue
            if one.digest in twins:
                seen.add(one.digest)
            yield one, payload

    def record(self, one: Letter, payload: bytes) -> bytes:
        """What is put: the payload, and around it what the intake puts around it, if that has brought it.

        Raises MacKeysError without the intake's keys.
        """
        if one.key_project is None or one.request_id is None:
            return payload
        at = one.arrival.astimezone(UTC).replace(tzinfo=None)
        header = Header(one.key_project, at, one.request_id, "replay", self._scopes.get(one.reason))
        return intake.wrap(header, payload, self._keys)

    def _wanted(self, one: Letter) -> bool:
        return self.state == "all" or (one.letter in self._replayed) == (self.state == "replayed")

    def _all(self) -> Iterator[tuple[Letter, bytes | None]]:
        """Each with its payload, should that be kept whole."""
        for piece in self.lake.pieces(DEAD_LETTERS, _COLUMNS, self.where):
            for *head, payload, cut in zip(*(piece[name].to_pylist() for name in _COLUMNS), strict=True):
                whole = payload if payload and cut is None else None
                letter = Letter._make((*head, ""))
                owned = b"" if letter.key_project is None else b"%d:" % letter.key_project
                yield letter._replace(digest=blake2b(owned + (whole or b""), digest_size=16).hexdigest()), whole


class Owners:
    """Whether records that are put now have an owner, by the job's own rule; each arrives anew."""

    def __init__(self, registry: Registry, keys: MacKeys) -> None:
        self._registry, self._keys, self._now = registry, keys, datetime.now(UTC).replace(tzinfo=None)

    def refusal(self, record: bytes) -> Refusal | None:
        """What a record comes back as that no project takes; None where one takes it, or it fails otherwise."""
        refusals = [_refusal(row) for _, row in leaves(record, self._now, self._registry, self._keys)]
        return refusals[0] if refusals and all(refusals) else None

    def add(self, refused: Refused, record: bytes) -> None:
        """Count a record, with its upload."""
        refused.letters += 1
        for _, row in leaves(record, self._now, Everyone(), self._keys):
            uploaded = row[_AT["server_upload_time"]]
            if uploaded is not None and not clock.implausible(uploaded, self._now):
                refused.uploaded_from = min(refused.uploaded_from or uploaded, uploaded)


def _refusal(row: Row) -> Refusal | None:
    reason = row[_AT["reason"]]
    return Refusal(reason, row[_AT["project_id"]]) if reason in _REFUSED else None


def put(settings: Settings, letters: Letters, tally: Tally, rate: int, asked: str = "") -> Iterator[int]:
    """Put them, at most so many a second, and note each as soon as it is acknowledged; gives how many at a time.

    The note has who asked for what (`asked`), and when. Raises StoreError.
    """
    replays, stream = Replays(settings.tables_address), Stream(settings.stream_address)
    replays.create()
    given: deque[tuple[Letter, str | None]] = deque()
    run = Asked(datetime.now(UTC).isoformat(timespec="milliseconds"), whoami(), asked)

    def records() -> Iterator[tuple[str, bytes]]:
        for one, payload in letters.distinct(tally.twins):
            given.append((one, _name_of(payload, one)))
            yield f"{one.sequence[-40:]}-{one.sub_index or 0}", letters.record(one, payload)

    def noted() -> Iterator[int]:
        for places in stream.placed(records(), min(rate, PUT_RECORDS_MAX)):
            letters_put = [(place, *given.popleft()) for place in places]
            replays.add(
                note._replace(**run._asdict()) for one in letters_put for note in _notes(*one, tally.twins)
            )
            yield len(places)

    yield from paced(noted(), rate)


def _notes(place: Place, letter: Letter, name: str | None, twins: Mapping[str, list[Letter]]) -> Iterator[Replay]:
    """Of a letter that was put, and of those that it was put for."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    for one in (letter, *twins.get(letter.digest, ())):
        arrival = one.arrival.astimezone(UTC).isoformat(timespec="microseconds")
        yield Replay(one.letter, arrival, one.project_id, one.reason, name, *place, at)


def _name_of(payload: bytes, letter: Letter) -> str | None:
    """By which name the job has counted it, if by any."""
    arrival = letter.arrival.replace(tzinfo=None)
    name: str | None = decode_part(payload, None, arrival, {}, letter.key_project)[_AT["name"]]
    return name and name[:_LONGEST_NAME]
