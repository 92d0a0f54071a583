"""DynamoDB that throttles, fails, hangs and is away: what is acknowledged is written, the rest is an error."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.stack.patience import scaled
from lab.stack.proxy import Failure, Proxy, Request
from stores.dynamodb import TablesAddress, pause
from stores.errors import StoreError
from stores.profiles import Key, Profiles
from stores.usage import Usage, UsageTable
from udfs.profile import Clock, Update
from udfs.write_profiles import Change, ProfileMerger

TOTALS = [Usage(project_id, "2026-03", 9, 8, 3, 2) for project_id in range(2_500)]
BATCHES = 2 * len(TOTALS) // 25  # of new ones: to raise what is there, and to insert what is not


@pytest.fixture
def seen() -> list[Request]:
    return []


@pytest.fixture
def proxy(dynamodb_endpoint: str, seen: list[Request]) -> Iterator[Proxy]:
    with Proxy(int(dynamodb_endpoint.rpartition(":")[2]), seen.append) as proxy:
        yield proxy


@pytest.fixture
def usage(proxy: Proxy, tmp_path: Path) -> UsageTable:
    table = UsageTable(TablesAddress("ap-northeast-2", proxy.endpoint, f"{tmp_path.name}-"))
    table.create()
    return table


@pytest.mark.parametrize("failure", ["throttled", "errors"])
def test_requests_that_fail_now_and_then_are_made_until_all_are_acknowledged(
    usage: UsageTable, proxy: Proxy, seen: list[Request], failure: Failure
) -> None:
    proxy.fail(failure, 0.2)
    usage.raise_totals(TOTALS)
    proxy.mend()
    assert usage.list() == TOTALS
    made = Counter(one.operation for one in seen)["BatchExecuteStatement"]
    assert BATCHES * 1.1 < made < BATCHES * 1.5


def test_totals_go_25_in_a_request_and_none_is_lowered(usage: UsageTable, seen: list[Request]) -> None:
    del seen[:]
    usage.raise_totals(TOTALS)
    assert Counter(one.operation for one in seen) == {"BatchExecuteStatement": BATCHES}
    assert usage.list() == TOTALS
    del seen[:]
    higher = [one._replace(records=10) for one in TOTALS]
    usage.raise_totals(higher)
    assert Counter(one.operation for one in seen) == {"BatchExecuteStatement": BATCHES / 2}
    usage.raise_totals(TOTALS[::10])
    assert usage.list() == higher


def test_a_total_that_is_throttled_within_a_request_is_written_alone(
    usage: UsageTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stores.table.Table.refused", lambda _, __, values, ___: values)
    usage.raise_totals(TOTALS[:30])
    usage.raise_totals([one._replace(events=9 - one.project_id % 2 * 2) for one in TOTALS[:30]])
    assert usage.list() == [one._replace(events=9 - one.project_id % 2) for one in TOTALS[:30]]


def test_a_throttled_user_is_tried_again_within_a_second_and_holds_up_no_batch_for_long(
    proxy: Proxy, seen: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("stores.dynamodb.pause", lambda attempts: pauses.append(pause(attempts)) or 0.0)
    table = Profiles(TablesAddress("ap-northeast-2", proxy.endpoint, f"{tmp_path.name}-"))
    table.create()
    merger, users = ProfileMerger(table), [f"user {number}" for number in range(30)]
    del seen[:]
    proxy.fail("throttled", 0.5, only=b"user 7")
    for batch in range(20):
        made = merger.merge(adding(user, 100 * batch + at) for at, user in enumerate([*users, "user 7"]))
        assert (made.profiles, made.overtaken, made.failed) == (30, 0, 0)
    proxy.mend()
    made_requests = len(seen)
    found = table.of_users([Key(1, user) for user in users])
    expected = dict.fromkeys(users, '{"n":20}') | {"user 7": '{"n":40}'}
    assert {key.user_id: one.properties for key, one in found.items()} == expected
    # of each batch one of its two requests has the user, and half of those are tried again; the first batch reads
    assert made_requests == 1 + 20 * 2 + len(pauses)
    assert 10 <= len(pauses) <= 40
    assert max(pauses) <= 1.0


def adding(user: str, number: int) -> Change:
    at = Clock(1_773_567_000_000_000 + number, -1, -1, number, -1)
    update = Update(at, number.to_bytes(16, "big"), "$identify", '{"$add":{"n":1}}')
    return Change(Key(1, user), update, None, None)


@pytest.mark.parametrize("failure", ["throttled", "errors", "down"])
def test_a_table_that_never_answers_well_is_an_error_of_one_line(
    usage: UsageTable, proxy: Proxy, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the pauses between attempts
    proxy.fail(failure)
    with pytest.raises(StoreError, match=rf"^{usage.table} at {proxy.endpoint} cannot be used: ") as e:
        usage.raise_totals(TOTALS[:1])
    assert "\n" not in str(e.value)


def test_a_table_that_hangs_is_asked_again(usage: UsageTable, proxy: Proxy) -> None:
    proxy.fail("hanging")
    begin = time.monotonic()
    threading.Timer(2, proxy.mend).start()
    usage.raise_totals(TOTALS[:1])
    assert 2 <= time.monotonic() - begin < scaled(20)
    assert usage.list() == TOTALS[:1]
