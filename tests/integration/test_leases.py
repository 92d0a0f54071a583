"""The lease in a real DynamoDB: who takes it, who keeps it, and what a worker whose job has lost it does."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from stores.cohorts import Cohorts
from stores.dynamodb import TablesAddress
from stores.leases import Lease, LeaseLostError, Leases
from stores.project import linked
from stores.projects import Projects
from stores.registry import open_registry

OURS, THEIRS = Lease("a" * 32, "stream", 45), Lease("b" * 32, "other-stream", 45)


@pytest.fixture
def leases(tmp_path: Path, dynamodb_endpoint: str) -> Leases:
    found = Leases(TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-"))
    found.create()
    return found


def holder(leases: Leases) -> str | None:
    held, _ = leases.current()
    return held.job_id if held else None


def test_a_lease_is_dated_by_dynamodb(leases: Leases) -> None:
    assert leases.current()[0] is None
    assert leases.take(OURS, None)
    held, now = leases.current()
    assert held
    assert held._replace(renewed_at="") == OURS
    assert timedelta(0) <= held.idle(now) < timedelta(seconds=30)
    assert held.left(now) == timedelta(seconds=45) - held.idle(now)


def test_one_of_many_starts_takes_it(leases: Leases) -> None:
    starts = [Lease(f"{number:032x}", "stream", 45) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda one: leases.take(one, None), starts))
    assert sum(taken) == 1
    assert holder(leases) == starts[taken.index(True)].job_id


def test_a_sign_of_life_makes_a_take_over_fail(leases: Leases) -> None:
    leases.take(OURS, None)
    seen, now = leases.current()
    assert seen
    older = seen._replace(renewed_at=(now - timedelta(hours=1)).isoformat())
    assert not leases.take(THEIRS, older)
    assert leases.take(THEIRS, seen)
    assert holder(leases) == THEIRS.job_id


def test_a_job_that_has_lost_it_neither_renews_nor_releases_it(leases: Leases) -> None:
    leases.take(OURS, None)
    leases.renew(OURS)
    leases.take(THEIRS, leases.current()[0])
    with pytest.raises(LeaseLostError) as lost:
        leases.renew(OURS)
    assert str(lost.value) == (
        f"job {OURS.job_id} has lost its lease on these tables to job {THEIRS.job_id}, which reads stream "
        'other-stream, and writes no more: cancel it (docs/operations.md, "Another ingest job")'
    )
    leases.release(OURS.job_id)
    assert holder(leases) == THEIRS.job_id
    leases.release(THEIRS.job_id)
    assert holder(leases) is None
    leases.renew(OURS)
    assert holder(leases) == OURS.job_id


def test_a_worker_renews_it_and_notices_when_it_is_lost(leases: Leases) -> None:
    Projects(leases.table.address).create()
    Cohorts(leases.table.address).create()
    Projects(leases.table.address).add(linked(1, "acme"))
    copy = open_registry(leases.table.address, 3600, OURS)
    assert copy() == {1: linked(1, "acme")}
    assert holder(leases) == OURS.job_id
    leases.take(THEIRS, leases.current()[0])
    copy.refresh()
    with pytest.raises(LeaseLostError):
        copy()
    with pytest.raises(LeaseLostError):
        open_registry(leases.table.address, 3600, OURS)
