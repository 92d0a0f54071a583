"""The writer of profiles against a real table: two of them at once, and an item that cannot be read."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stores.dynamodb import TablesAddress
from stores.profiles import Key, Profiles, StoredProfile
from udfs import write_profiles
from udfs.profile import Clock, Profile, Update
from udfs.write_profiles import LARGEST, Change, Known, Merged, ProfileMerger, Written


def change(user: str, number: int) -> Change:
    clock = Clock(1_773_567_000_000_000 + number, -1, -1, number, -1)
    update = Update(clock, number.to_bytes(16, "big"), "$identify", '{"$add":{"logins":1}}')
    return Change(Key(1, user), update, None, None)


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
    (found,) = table.of_users([(1, "u")]).values()
    assert found.properties == '{"logins":80}'
    assert overtaken > 0


def test_an_item_of_no_known_layout_stops_nobody_else(tmp_path: Path, dynamodb_endpoint: str) -> None:
    table = profiles(tmp_path, dynamodb_endpoint)
    merger = ProfileMerger(table)
    merger.merge([change("odd", 1)])
    (item,) = table.of_users([(1, "odd")]).values()
    assert table.write([item._replace(merge='{"version":99}')]) == []

    written = ProfileMerger(table).merge([change("odd", 2), change("fine", 3)])
    assert written == Written(profiles=1, overtaken=0, refused=0, failed=1)
    found = {key[1]: one for key, one in table.of_users([(1, "odd"), (1, "fine")]).items()}
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


def setting(user: str, number: int, properties: str) -> Change:
    one = change(user, number)
    return one._replace(update=one.update._replace(properties=properties))


def test_an_update_that_makes_a_profile_too_large_is_left_out(
    tmp_path: Path, dynamodb_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = profiles(tmp_path, dynamodb_endpoint)
    merger = ProfileMerger(table)
    large = f'{{"note":"{"x" * (LARGEST + 1)}"}}'
    written = merger.merge([setting("big", 1, '{"a":1}'), setting("other", 2, '{"a":1}')])
    assert written == Written(profiles=2, overtaken=0, refused=0, failed=0)
    written = merger.merge(
        [setting("big", 3, large), setting("big", 4, '{"b":1}'), setting("other", 5, '{"b":1}')]
    )
    assert written == Written(profiles=1, overtaken=0, refused=0, failed=2)
    assert "2 updates of user 'big' of project 1 are left out, see user_updates" in caplog.text
    merger.merge([setting("big", 6, '{"c":1}')])
    found = {key[1]: one.properties for key, one in table.of_users([(1, "big"), (1, "other")]).items()}
    assert found == {"big": '{"a":1,"c":1}', "other": '{"a":1,"b":1}'}


def test_a_profile_that_is_too_large_already_may_shrink(
    tmp_path: Path, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = profiles(tmp_path, dynamodb_endpoint)
    ProfileMerger(table).merge([setting("big", 1, f'{{"a":"{"x" * 500}","b":"{"y" * 500}"}}')])
    monkeypatch.setattr(write_profiles, "LARGEST", 900)
    written = ProfileMerger(table).merge([setting("big", 2, '{"$unset":{"a":"-"}}')])
    assert (written.profiles, written.failed) == (1, 0)
    (found,) = table.of_users([(1, "big")]).values()
    assert found.properties == f'{{"b":"{"y" * 500}"}}'


def test_a_user_who_takes_long_is_named(
    tmp_path: Path, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    merger = ProfileMerger(profiles(tmp_path, dynamodb_endpoint))
    monkeypatch.setattr(write_profiles, "SLOW", 0.0)
    assert merger.merge([change("u", 1), change("v", 2), change("u", 3)]).slow == 2
    assert re.search(r"user 'u' of project 1 took \d+\.\d s of a batch of updates", caplog.text)


def test_what_is_known_is_bounded_by_its_characters_too() -> None:
    known = Known(profiles=3, characters=100)
    for user, size in (("a", 40), ("b", 40), ("c", 10), ("b", 60)):
        known.put((1, user), Merged(StoredProfile(1, user, 1, "x" * size), Profile()))
        known.forget()
    assert [user for user in "abc" if (1, user) in known] == ["b", "c"]
    known.use((1, "c"))
    known.put((1, "d"), Merged(StoredProfile(1, "d", 1, "x" * 50), Profile()))
    known.forget()
    assert [user for user in "bcd" if (1, user) in known] == ["c", "d"]


def test_lists_that_were_used_last_are_held_with_what_compares_their_elements() -> None:
    known = Known(profiles=9, characters=10_000, lists=4_000)
    for number, user in enumerate("aba"):
        profile = known.use((1, user)).profile if (1, user) in known else Profile()
        elements = [f"{at}" for at in range(10 * number, 10 * number + 10)]
        clock = Clock(number, -1, -1, number, -1)
        asked = json.dumps({"$postInsert": {"list": elements}})
        profile.apply(Update(clock, number.to_bytes(16, "big"), "$identify", asked))
        known.put((1, user), Merged(StoredProfile(1, user, 1, *profile.dump()), profile))
        known.forget()
    assert [known.use((1, user)).profile.size > 0 for user in "ab"] == [True, False]
