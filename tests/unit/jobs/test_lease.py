"""Whether a start may take the lease: what the cluster says of the holder, and how long ago it was seen."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import lease
from stores.errors import StoreError
from stores.leases import Lease, LeaseLostError
from stores.registry import CachedRegistry
from tests.cases import each

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINE = Lease("m" * 32, "stream", 45)
HELD = Lease("h" * 32, "other-stream", 45, START.isoformat())


class Table:
    """The table of the lease with a clock of its own; `signs` are the seconds at which the holder renews."""

    name = "ingest"

    def __init__(self, held: Lease | None, seconds: float = 0, signs: tuple[float, ...] = ()) -> None:
        self.held, self.now, self.signs = held, START + timedelta(seconds=seconds), list(signs)

    def current(self) -> tuple[Lease | None, datetime]:
        while self.held and self.signs and self.now >= START + timedelta(seconds=self.signs[0]):
            at = START + timedelta(seconds=self.signs.pop(0))
            self.held = self.held._replace(renewed_at=at.isoformat())
        return self.held, self.now

    def take(self, mine: Lease, before: Lease | None) -> bool:
        if self.held != before:
            return False
        self.held = mine._replace(renewed_at=self.now.isoformat())
        return True

    def pause(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def waited(self) -> float:
        return (self.now - START).total_seconds()


def take(table: Any, jobs: dict[str, str] | None = None, *, over: bool = False) -> None:
    lease.take(table, MINE, jobs or {}, over=over, pause=table.pause)


def refusal(table: Table, jobs: dict[str, str] | None = None) -> str:
    with pytest.raises(StoreError) as refused:
        take(table, jobs)
    assert table.held
    assert table.held.job_id == HELD.job_id
    return str(refused.value)


ADVICE = (
    f"and reads stream other-stream: stop it first, flink stop {HELD.job_id}; "
    'if it is gone: --take-over (docs/operations.md, "Another ingest job")'
)


@each(
    ("held", "jobs"),
    [
        (None, {}),
        (HELD, {HELD.job_id: "FINISHED"}),
        (HELD, {HELD.job_id: "CANCELED"}),
        (HELD, {HELD.job_id: "FAILED"}),
        (MINE._replace(renewed_at=START.isoformat()), {}),
    ],
    ids=["nobody's", "stopped", "cancelled", "failed for good", "its own: high availability"],
)
def test_a_start_takes_at_once_the_lease_of_a_job_that_has_ended(held: Lease | None, jobs: dict[str, str]) -> None:
    table = Table(held)
    take(table, jobs)
    assert table.held == MINE._replace(renewed_at=START.isoformat())


@each("state", ["RUNNING", "RESTARTING", "CREATED", "SUSPENDED", "CANCELLING"])
def test_a_job_that_the_cluster_has_is_not_taken_over_however_long_it_is_silent(state: str) -> None:
    said = refusal(Table(HELD, seconds=10_000), {HELD.job_id: state})
    assert said == f"job {HELD.job_id} holds these tables ({state} on this cluster) {ADVICE}"


def test_a_job_of_another_cluster_is_known_by_its_next_sign() -> None:
    table = Table(HELD, seconds=4, signs=(15,))
    said = refusal(table)
    assert said == f"job {HELD.job_id} holds these tables (seen 0 s ago, not on this cluster) {ADVICE}"
    assert table.waited == 15


def test_a_job_that_gives_no_sign_is_gone_when_its_lease_has_run_out(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(HELD, seconds=4)
    take(table)
    assert table.waited == 46
    assert table.held == MINE._replace(renewed_at=table.now.isoformat())
    assert capsys.readouterr().err == (
        f"jobs.ingest: job {HELD.job_id} held these tables 4 s ago, and this cluster does not know it: "
        "waiting up to 41 s for a sign of it (--take-over does not wait)\n"
    )


def test_a_lease_that_has_run_out_is_taken_at_once() -> None:
    table = Table(HELD, seconds=46)
    take(table)
    assert table.waited == 46


@each("jobs", [{}, {HELD.job_id: "RUNNING"}], ids=["unknown", "running"])
def test_taking_over_does_not_wait(jobs: dict[str, str]) -> None:
    table = Table(HELD)
    take(table, jobs, over=True)
    assert table.waited == 0
    assert table.held == MINE._replace(renewed_at=START.isoformat())


def test_taking_over_succeeds_while_the_holder_renews(capsys: pytest.CaptureFixture[str]) -> None:
    class Alive(Table):
        """The holder gives a sign between the first reading and taking."""

        def take(self, mine: Lease, before: Lease | None) -> bool:
            if before == HELD:
                self.held = HELD._replace(renewed_at=self.now.isoformat())
            return super().take(mine, before)

    table = Alive(HELD, seconds=4)
    take(table, {HELD.job_id: "RUNNING"}, over=True)
    assert table.held == MINE._replace(renewed_at=table.now.isoformat())
    assert capsys.readouterr().err == ""


def test_the_slower_of_two_starts_is_refused() -> None:
    class Overtaken(Table):
        """Another start takes the lease between this one's reading and taking."""

        def take(self, mine: Lease, before: Lease | None) -> bool:
            self.held = HELD
            return super().take(mine, before)

    assert refusal(Overtaken(None)).startswith(f"job {HELD.job_id} holds these tables (seen 1 s ago")


def test_a_worker_whose_job_has_lost_the_lease_decodes_no_more(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Exception | None] = [None, LeaseLostError("job a has lost its lease to job b"), None]

    def read() -> dict[int | str, Any]:
        error = answers.pop(0)
        if error:
            raise error
        return {}

    copy = CachedRegistry(read)
    assert copy() == {}
    for _ in range(2):  # a lease that comes back does not bring the job back: others have written meanwhile
        copy.refresh()
        with pytest.raises(LeaseLostError, match=r"^job a has lost its lease to job b$"):
            copy()
    assert [one.getMessage() for one in caplog.records] == ["job a has lost its lease to job b"]


def test_a_worker_whose_job_has_lost_the_lease_does_not_start() -> None:
    def read() -> dict[int | str, Any]:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        CachedRegistry(read)
