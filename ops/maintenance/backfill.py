"""A project's history out of Amplitude's archives, put on the stream for the job to treat like all else.

One front door: the stream. A row goes there byte for byte, for it is what Amplitude streams too
(docs/amplitude.md §1.1). What the event store has already, however old, is not put: the job itself remembers
only the dedupe window. Table `backfills` is told behind each call to Kinesis how far a run is; a run that is
killed in between puts at most one call's records again, and the job removes the copies.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from ops.answers.archived import Judge, Judged, Whose, rows
from ops.maintenance.whoami import whoami
from settings import Settings
from stores.archives import Member
from stores.backfills import Backfills, Run, listing
from stores.erasures import Erasures, subject_of
from stores.errors import StoreError
from stores.lake import Lake
from stores.project import Project
from stores.stream import PUT_RECORDS_MAX, Capacity, Stream

_CLOCK: Final = timedelta(seconds=1)
"""The stream tells its time in whole seconds: what is put from the next one on is the run's."""
_RECEIPTS: Final = 60.0
"""Seconds for which the receipts of erasures count as read."""
_SIGN_OF_LIFE: Final = 10.0
"""Seconds between two: well within the time for which a run holds its project."""


@dataclass(frozen=True)
class Archives:
    """A project's archives, and what the stream takes of them."""

    settings: Settings
    project: Project
    members: Sequence[Member]
    capacity: Capacity

    def judged(self, judge: Judge, file: int = 0, line: int = 0) -> Iterator[tuple[int, Judged]]:
        """Each row behind these files and lines, judged, and the number of its file. Raises StoreError."""
        now, erased = datetime.now(UTC), self._erased()
        for number, member in enumerate(self.members[file:], file):
            for row in rows(member, self.project, now, self.capacity.record_bytes - _KEY_BYTES, line):
                one = judge(row)
                gone = one.outcome == "missing" and next(erased).knows(row.whose)
                yield number, Judged(row, "erased") if gone else one
            line = 0

    def _erased(self) -> Iterator["Erased"]:
        """What was erased, read anew once a minute: an erasure may begin meanwhile."""
        while True:
            found, read = Erased(self.settings, self.project.project_id), time.monotonic()
            while time.monotonic() - read < _RECEIPTS:
                yield found


_KEY_BYTES: Final = 64
"""Of a partition key, which counts against the largest record: a SHA-256 in hexadecimal."""


class Erased:
    """What was erased of a project, by its receipts: no archive brings it back. Raises StoreError."""

    def __init__(self, settings: Settings, project_id: int) -> None:
        self._project_id = project_id
        receipts = Erasures(settings.tables_address).of_project(project_id)
        self._subjects = {one.subject: datetime.fromisoformat(one.before) for one in receipts}
        self._others = {other: datetime.fromisoformat(one.before) for one in receipts for other in one.others}

    def knows(self, whose: Whose) -> bool:
        """Whether a row was uploaded before what it is of was erased; one that says no time was."""
        return any(whose.uploaded is None or whose.uploaded < before for before in self._before(whose))

    def _before(self, whose: Whose) -> Iterator[datetime]:
        if not self._subjects:
            return
        user = whose.user_id and subject_of(self._project_id, whose.user_id)
        number = whose.amplitude_id and subject_of(self._project_id, f"amplitude {whose.amplitude_id}")
        wanted = ((self._subjects, user), (self._subjects, number), (self._subjects, f"event {whose.event}"))
        # Amplitude's id of a user who was erased by user id tells of rows without one alone
        for known, name in (*wanted, (self._others, user or number)):
            if name in known:
                yield known[name]


class Backfill:
    """A run that holds its project: a context manager, which shows that the run lives."""

    def __init__(self, archives: Archives, source: str) -> None:
        """Take the project, or go on with a run of the same files. Raises StoreError while another one runs."""
        settings = archives.settings
        self.archives, self._stream = archives, Stream(settings.stream_address)
        self._backfills = Backfills(settings.tables_address)
        self._backfills.create()
        before = self._backfills.wait_for(archives.project.project_id)
        since = self._stream.now() + _CLOCK
        files = listing((one.name, one.mark) for one in archives.members)
        run = Run(archives.project.project_id, whoami(), source, files, since.isoformat(), "")
        self.resumed = before is not None and before.ended_at is None and before.listing == files
        if before and self.resumed:
            run = before._replace(holder=run.holder)
        self._run, self._lock, self._done = self._backfills.take(run, before), threading.Lock(), threading.Event()
        time.sleep(_CLOCK.total_seconds())
        self._lost: StoreError | None = None

    @property
    def run(self) -> Run:
        """How far it is."""
        return self._run

    @property
    def since(self) -> datetime:
        """When it began, by the stream's clock."""
        return datetime.fromisoformat(self._run.started_at)

    def __enter__(self) -> "Backfill":
        threading.Thread(target=self._live, name="backfill-sign-of-life", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        with self._lock, suppress(StoreError):
            self._backfills.release(self._run)

    def put(self, share: float) -> Iterator[int]:
        """Put what is missing, at most this share of what the stream takes; gives how many at a time.

        Raises StoreError, ArchiveError.
        """
        judge = Judge(Lake(self.archives.settings.lake_address), self._run.project_id, self.since)
        pace = Pace(self.archives.capacity, share)
        waiting: list[bytes] = []
        for file, one in self.archives.judged(judge, self._run.file, self._run.line):
            if one.outcome == "missing":
                waiting.append(one.row.data)
            if len(waiting) == pace.at_once:
                yield self._put(waiting, pace, file, one.row.line)
                waiting = []
        yield self._put(waiting, pace, len(self.archives.members), 0)
        self._note(ended_at=datetime.now(UTC).isoformat(timespec="seconds"))

    def _put(self, waiting: Sequence[bytes], pace: "Pace", file: int, line: int) -> int:
        done = sum(self._stream.put((sha256(data).hexdigest(), data) for data in waiting))
        self._note(file=file, line=line, put=self._run.put + done)
        pace.wait(waiting)
        return done

    def _note(self, **changes: int | str) -> None:
        with self._lock:
            if self._lost:
                raise self._lost
            self._run = self._backfills.renew(self._run._replace(**changes))  # type: ignore[arg-type]

    def _live(self) -> None:
        while not self._done.wait(_SIGN_OF_LIFE):
            try:
                self._note()
            except StoreError as error:
                self._lost = error
                return


class Pace:
    """Waits after each call, so that no more goes out than a share of what the stream takes."""

    def __init__(self, capacity: Capacity, share: float) -> None:
        self.records, self.bytes = capacity.records * share, capacity.bytes * share
        self.at_once = max(1, min(PUT_RECORDS_MAX, int(self.records)))
        """Records of one call: no more than a second's"""
        self._free = time.monotonic()

    def wait(self, put: Sequence[bytes]) -> None:
        """Return when the next call may be made behind one of these records."""
        seconds = max(len(put) / self.records, sum(map(len, put)) / self.bytes)
        self._free = max(self._free, time.monotonic() - seconds) + seconds
        time.sleep(max(0.0, self._free - time.monotonic()))
