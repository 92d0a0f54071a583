"""Profiles in a real DynamoDB: versions, and profiles of any size."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from botocore.stub import Stubber

import stores.profiles
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.profiles import Profiles, StoredProfile

MINE = (1, "u")
LONG = "é" * 600  # 1200 bytes
VERSION = 2**60  # between the sort keys of two versions


@pytest.fixture
def profiles(tmp_path: Path, dynamodb_endpoint: str) -> Profiles:
    table = Profiles(TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-"))
    table.create()
    return table


def noise(size: int, seed: int = 0) -> str:
    """JSON that does not compress below half its size."""
    return json.dumps({"noise": random.Random(seed).randbytes(size // 2).hex()})


def items(table: Profiles, name: str = "1:u") -> list[dict[str, Any]]:
    """What stands in the table of one user, the head first."""
    client: Any = table.table.client
    pages = client.get_paginator("scan").paginate(TableName=table.table.name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"] if item["profile"]["S"] == name]


def versions_of_parts(table: Profiles) -> list[int]:
    return [int(item["part"]["N"]) // VERSION for item in items(table)]


def read(table: Profiles) -> StoredProfile:
    return table.of_users([MINE])[MINE]


def crash(*_: object) -> None:
    raise KeyboardInterrupt


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as refused:
        act()
    return str(refused.value)


def test_what_stands_in_the_table(profiles: Profiles) -> None:
    profiles.write(
        [StoredProfile(*MINE, 0, '{"a":1}', '{"v":1}', 77, "phone"), StoredProfile(2, LONG, 0, "{}", "x")]
    )
    profiles.create()  # a table that is there is left alone
    (head,) = items(profiles)
    assert head.pop("updated_at")["S"].endswith("+00:00")
    assert head == {
        "profile": {"S": "1:u"},
        "part": {"N": "0"},
        "project_id": {"N": "1"},
        "user_id": {"S": "u"},
        "version": {"N": "1"},
        "properties": {"S": '{"a":1}'},
        "merge": {"S": '{"v":1}'},
        "amplitude_id": {"N": "77"},
        "device_id": {"S": "phone"},
    }
    (other,) = items(profiles, f"2#{sha256(LONG.encode()).hexdigest()}")
    assert (other["user_id"], other.get("amplitude_id"), other.get("device_id")) == ({"S": LONG}, None, None)


def test_many_are_written_and_read_and_written_again(profiles: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles.table.client, "put_item", None)  # in batches, not one by one
    keys = [(1, f"u{n}") for n in range(230)]  # more than two requests to read, and ten to write
    before = [
        StoredProfile(*key, properties=f'{{"n":{n}}}', merge="m", amplitude_id=n) for n, key in enumerate(keys)
    ]
    assert profiles.write(before) == []
    first = profiles.of_users([*keys, *keys])
    assert first == {one.key: one._replace(version=1) for one in before}
    assert profiles.write(one._replace(properties="{}", device_id="phone") for one in first.values()) == []
    second = [one._replace(version=2, properties="{}", device_id="phone") for one in before]
    assert list(profiles.of_users(keys).values()) == second


def test_two_tenants_have_each_their_own(profiles: Profiles) -> None:
    assert profiles.of_users([]) == {}
    assert profiles.of_users([MINE]) == {MINE: StoredProfile(1, "u", 0, "{}", "", None, None)}
    both = [StoredProfile(1, "u", 0, '{"plan":"a"}', "1"), StoredProfile(11, "u", 0, '{"plan":"b"}', "2")]
    assert profiles.write(both) == []
    assert profiles.write([both[0]._replace(version=1, properties='{"plan":"c"}')]) == []
    assert profiles.of_users([(1, "u"), (11, "u"), (11, ":u"), (1, "1:u")]) == {
        (1, "u"): StoredProfile(1, "u", 2, '{"plan":"c"}', "1"),
        (11, "u"): StoredProfile(11, "u", 1, '{"plan":"b"}', "2"),
        (11, ":u"): StoredProfile(11, ":u"),
        (1, "1:u"): StoredProfile(1, "1:u"),
    }


def test_user_ids_are_kept_apart_however_long(profiles: Profiles) -> None:
    digest = sha256(LONG.encode()).hexdigest()
    ids = ["a" * 1000, "a" * 1001, LONG, LONG + "x", digest, f"#{digest}", f"1#{digest}", "U", "u"]
    assert profiles.write(StoredProfile(1, name, 0, json.dumps(n)) for n, name in enumerate(ids)) == []
    found = profiles.of_users((1, name) for name in ids)
    assert [found[1, name].properties for name in ids] == [str(n) for n in range(len(ids))]


def test_who_was_overtaken_is_named_and_nothing_of_it_written(profiles: Profiles) -> None:
    old = [StoredProfile(1, name, 0, '"old"') for name in ("u", "v", "w")]
    profiles.write(old)
    assert profiles.write([StoredProfile(1, "u", 1, '"theirs"')]) == []
    mine = [
        StoredProfile(1, "u", 1, '"mine"'),
        StoredProfile(1, "v", 1, '"mine"'),
        StoredProfile(1, "w", 0, '"mine"'),
    ]
    ahead, large = StoredProfile(1, "x", 3, '"mine"'), StoredProfile(1, "y", 7, noise(900_000))
    assert profiles.write([*mine, ahead, large]) == [(1, "u"), (1, "w"), (1, "x"), (1, "y")]
    found = profiles.of_users((1, name) for name in "uvwxy")
    assert [(one.version, one.properties) for one in found.values()] == [
        *((2, '"theirs"'), (2, '"mine"'), (1, '"old"'), (0, "{}"), (0, "{}"))
    ]
    assert items(profiles, "1:y") == []


def test_two_profiles_of_one_user_at_once_are_a_mistake(profiles: Profiles) -> None:
    with pytest.raises(ValueError, match="two profiles of one user"):
        profiles.write([StoredProfile(*MINE), StoredProfile(*MINE, properties="1")])


def test_a_write_whose_answer_was_lost_is_no_conflict(profiles: Profiles) -> None:
    client: Any = profiles.table.client
    ask, lost = client.batch_execute_statement, []

    def ask_twice(**request: Any) -> Any:
        """As the SDK does when the first answer does not arrive."""
        lost.append(ask(**request))
        return ask(**request)

    client.batch_execute_statement = ask_twice
    assert profiles.write([StoredProfile(*MINE, properties='"a"')]) == []
    assert profiles.write([StoredProfile(*MINE, version=1, properties='"b"')]) == []
    assert len(lost) == 2
    assert read(profiles) == StoredProfile(1, "u", 2, '"b"', "")


def test_attributes_that_are_unknown_again_are_removed(profiles: Profiles) -> None:
    profiles.write([StoredProfile(*MINE, 0, "1", "", 77, "phone")])
    assert profiles.write([StoredProfile(*MINE, 1, "2", "", None, "phone")]) == []
    assert read(profiles) == StoredProfile(1, "u", 2, "2", "", None, "phone")
    assert "amplitude_id" not in items(profiles)[0]


def test_a_large_profile_spills_and_becomes_small_again(profiles: Profiles) -> None:
    large, larger = noise(400_000), noise(1_500_000, seed=1)
    assert profiles.write([StoredProfile(*MINE, 0, large, '{"é":1}', 77, "phone")]) == []
    assert versions_of_parts(profiles) == [0, 1]
    head = items(profiles)[0]
    assert ("properties" in head, "merge" in head, head["parts"]) == (False, False, {"N": "1"})
    assert read(profiles) == StoredProfile(1, "u", 1, large, '{"é":1}', 77, "phone")

    assert profiles.write([StoredProfile(*MINE, 1, "{}", larger)]) == []
    assert versions_of_parts(profiles) == [0, 2, 2, 2]
    assert all(len(item["body"]["B"]) <= 350_000 for item in items(profiles)[1:])
    assert read(profiles) == StoredProfile(1, "u", 2, "{}", larger)

    assert profiles.write([StoredProfile(*MINE, 2, '{"a":1}', "m")]) == []
    assert versions_of_parts(profiles) == [0]
    assert read(profiles) == StoredProfile(1, "u", 3, '{"a":1}', "m")


def test_the_limit_counts_bytes_of_both_texts(profiles: Profiles) -> None:
    both = [
        StoredProfile(1, name, 0, "é" * 100_000, "m" * size) for name, size in (("a", 100_000), ("b", 100_001))
    ]
    assert profiles.write(both) == []
    assert ["parts" in items(profiles, name)[0] for name in ("1:a", "1:b")] == [False, True]
    assert list(profiles.of_users(one.key for one in both).values()) == [one._replace(version=1) for one in both]


def test_parts_of_a_crash_before_their_head_do_no_harm(profiles: Profiles) -> None:
    small, large = StoredProfile(*MINE, 1, '"small"'), StoredProfile(*MINE, 1, noise(1_000_000))
    profiles.write([StoredProfile(*MINE, 0, '"old"')])

    class Crashing(Profiles):
        _write_one = crash

    with pytest.raises(KeyboardInterrupt):
        Crashing(profiles.table.address).write([large])
    assert versions_of_parts(profiles) == [0, 2, 2]
    assert read(profiles) == StoredProfile(1, "u", 1, '"old"', "")
    assert profiles.write([small]) == []
    assert read(profiles) == small._replace(version=2)

    assert profiles.write([large._replace(version=2)]) == []  # it removes what lies before it
    assert versions_of_parts(profiles) == [0, 3, 3]
    assert read(profiles) == large._replace(version=3)


def test_parts_left_over_by_a_crash_behind_the_head_do_no_harm(profiles: Profiles) -> None:
    class Crashing(Profiles):
        _delete_parts = crash

    profiles.write([StoredProfile(*MINE, 0, noise(400_000))])
    with pytest.raises(KeyboardInterrupt):
        Crashing(profiles.table.address).write([StoredProfile(*MINE, 1, noise(400_000, seed=1))])
    assert versions_of_parts(profiles) == [0, 1, 2]
    assert read(profiles) == StoredProfile(1, "u", 2, noise(400_000, seed=1), "")


def test_of_large_writes_at_once_one_is_kept_whole(profiles: Profiles) -> None:
    texts = [noise(800_000, seed) for seed in range(4)]
    barrier = Barrier(len(texts))

    class Together(Profiles):  # all have written their parts before the first writes its head
        def _write_one(self, profile: StoredProfile, head: dict[str, Any]) -> tuple[int, str] | None:
            barrier.wait(10)
            return super()._write_one(profile, head)

    with ThreadPoolExecutor(len(texts)) as pool:
        overtaken = list(
            pool.map(lambda text: Together(profiles.table.address).write([StoredProfile(*MINE, 0, text)]), texts)
        )
    (winner,) = [text for text, lost in zip(texts, overtaken, strict=True) if not lost]
    assert sorted(overtaken) == [[], [MINE], [MINE], [MINE]]
    assert read(profiles) == StoredProfile(1, "u", 1, winner, "")


def test_a_reader_that_comes_between_finds_the_newer_profile(profiles: Profiles) -> None:
    profiles.write([StoredProfile(*MINE, 0, noise(400_000))])

    class Slow(Profiles):  # somebody else replaces the profile between its reading of the head and of the parts
        def _body(self, head: dict[str, Any]) -> bytes | None:
            profiles.write([StoredProfile(*MINE, int(head["version"]["N"]), replacement)])
            return super()._body(head)

    replacement = '"small"'
    assert read(Slow(profiles.table.address)) == StoredProfile(1, "u", 2, '"small"', "")
    replacement = noise(400_000, seed=1)
    profiles.write([StoredProfile(*MINE, 2, noise(400_000))])
    assert refusal(lambda: read(Slow(profiles.table.address))) == (
        f"{profiles.table}: item 1:u changes faster than it can be read: try again"
    )


def test_a_head_whose_parts_are_gone_is_named(profiles: Profiles) -> None:
    profiles.write([StoredProfile(*MINE, 0, noise(400_000))])
    profiles._delete_parts("1:u", 1, 2 * VERSION)
    said = refusal(lambda: read(profiles))
    assert said == f"{profiles.table}: delete item 1:u, its parts are not there"


def test_a_profile_that_cannot_be_written_is_an_error(profiles: Profiles) -> None:
    said = refusal(lambda: profiles.write([StoredProfile(*MINE), StoredProfile(1, "v", device_id="x" * 500_000)]))
    assert said.startswith(f"{profiles.table} at http://127.0.0.1:")
    assert "Item size has exceeded the maximum allowed size" in said


def test_what_is_not_processed_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(stores.profiles.time, "sleep", pauses.append)
    monkeypatch.setattr("stores.dynamodb.uniform", lambda _, most: most)
    table = Profiles(TablesAddress("ap-northeast-2", "http://127.0.0.1:9", "t-"))
    key = {"profile": {"S": "1:u"}, "part": {"N": "0"}}
    head = {**key, "version": {"N": "3"}, "properties": {"S": "{}"}, "merge": {"S": "m"}}
    request: Any = {"t-profiles": {"Keys": [key], "ConsistentRead": True}}
    throttled = {"Responses": {}, "UnprocessedKeys": request}
    with Stubber(table.table.client) as dynamodb:
        for answer in (throttled, throttled, {"Responses": {"t-profiles": [head]}, "UnprocessedKeys": {}}):
            dynamodb.add_response("batch_get_item", answer, {"RequestItems": request})
        assert read(table) == StoredProfile(1, "u", 3, "{}", "m")
        assert pauses == [0.05, 0.1]
        for _ in range(64):
            dynamodb.add_response("batch_get_item", throttled)
        assert refusal(lambda: read(table)) == (
            "DynamoDB table t-profiles answers too slowly: it is throttled, raise its read capacity"
        )
