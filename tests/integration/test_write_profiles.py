"""The writer of profiles against a real table: two of them at once, and an item that cannot be read."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stores.dynamodb import TablesAddress
from stores.profiles import Profiles
from udfs.profile import Clock, Profile, Update
from udfs.write_profiles import Change, ProfileMerger, Written


def change(user: str, number: int) -> Change:
    clock = Clock(1_773_567_000_000_000 + number, -1, -1, number, -1)
    update = Update(clock, number.to_bytes(16, "big"), "$identify", '{"$add":{"logins":1}}')
    return Change((1, user), update, None, None)


def profiles(folder: Path, endpoint: str) -> Profiles:
    table = Profiles(TablesAddress("ap-northeast-2", endpoint, f"{folder.name}-"))
    table.create()
    return table


def test_workers_that_overtake_each_other_count_everything_once(tmp_path: Path, dynamodb_endpoint: str) -> None:
    table = profiles(tmp_path, dynamodb_endpoint)
    # each batch twice, by different workers, as after a crash
    batches = [[change("u", number) for number in range(at, at + 10)] for at in range(0, 80, 10)] * 2

    def work(batches: list[list[Change]]) -> int:
        merger = ProfileMerger(table)
        return sum(merger.merge(batch).overtaken for batch in batches)

    with ThreadPoolExecutor(4) as pool:
        overtaken = sum(pool.map(work, [batches[n::4] for n in range(4)]))
    (found,) = table.read([(1, "u")]).values()
    assert found.properties == '{"logins":80}'
    assert overtaken > 0


def test_an_item_of_no_known_layout_stops_nobody_else(tmp_path: Path, dynamodb_endpoint: str) -> None:
    table = profiles(tmp_path, dynamodb_endpoint)
    merger = ProfileMerger(table)
    merger.merge([change("odd", 1)])
    (item,) = table.read([(1, "odd")]).values()
    assert table.write([item._replace(merge='{"version":99}')]) == []

    written = ProfileMerger(table).merge([change("odd", 2), change("fine", 3)])
    assert written == Written(profiles=1, overtaken=0, refused=0, failed=1)
    found = {key[1]: one for key, one in table.read([(1, "odd"), (1, "fine")]).items()}
    assert (found["odd"].merge, found["odd"].version) == ('{"version":99}', 2)
    assert found["fine"].properties == '{"logins":1}'


def raising(error: Exception) -> Callable[..., bool]:
    def apply(*_: object) -> bool:
        raise error

    return apply


def test_an_update_is_left_out_by_a_fault_of_ours_and_not_for_want_of_memory(
    tmp_path: Path, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merger = ProfileMerger(profiles(tmp_path, dynamodb_endpoint))
    monkeypatch.setattr(Profile, "apply", raising(KeyError("no such shelf")))
    assert merger.merge([change("u", 1)]).failed == 1
    monkeypatch.setattr(Profile, "apply", raising(MemoryError()))
    with pytest.raises(MemoryError):
        merger.merge([change("u", 2)])
