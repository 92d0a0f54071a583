"""What the connector makes of an aggregate, by our rule; tests/integration/test_sources.py asks the connector."""

from tests.cases import each
from tests.kpl import GROUPS, aggregate_of, number, record, sealed, text
from udfs import kpl

THIRD = (0, 2**128 // 3)
TWO = [(0, None, b"1"), (0, None, b"2")]
NO_KEY = "record {} names no partition key or hash key that is there"
OTHER = "record {} belongs to another shard, by its {}"
HANDED = {
    "one key": (aggregate_of(["k0"], TWO), 2, None),
    "a key of another shard": (
        aggregate_of(["k0", "k2"], [*TWO, (1, None, b"3")]), 0, OTHER.format(2, "key 'k2'")
    ),
    "a hash key of this shard": (aggregate_of(["k2"], [(0, 0, b"1")], ["5"]), 1, None),
    "a hash key of another": (
        aggregate_of(["k0"], [(0, 0, b"1")], [str(2**127)]), 0, OTHER.format(0, f"hash key {2**127}")
    ),
    "a hash key that is no number": (
        aggregate_of(["k0"], [*TWO, (0, 0, b"3"), (0, None, b"4")], ["undefined"]), 2, NO_KEY.format(2)
    ),
    "digits of another script": (aggregate_of(["k0"], [(0, 0, b"1")], ["\u0665\uff15"]), 1, None),
    "digits that are two of Java's characters": (
        aggregate_of(["k0"], [*TWO, (0, 0, b"3")], ["5\U0001d7cf"]), 2, NO_KEY.format(2)
    ),
    "a hash key that is not there": (aggregate_of(["k0"], [(0, 3, b"1")]), 0, NO_KEY.format(0)),
    "no table of keys": (aggregate_of([], TWO), 0, NO_KEY.format(0)),
    "an index that Java takes for 0": (sealed(text(1, b"k0") + text(3, record(2**32, None, b"1"))), 1, None),
    "nothing": (aggregate_of(["k0"], []), 0, None),
}  # fmt: skip


@each(("payload", "handed", "why"), HANDED.values(), ids=HANDED)
def test_what_the_connector_hands_over_is_a_head_of_the_aggregate(
    payload: bytes, handed: int, why: str | None
) -> None:
    found = kpl.opened(payload, THIRD)
    assert found is not None
    assert (found.handed_over, found.why) == (handed, why)
    assert [one.data for one in (*found.records[:handed], *found.dropped)] == list(kpl.data(payload))


@each(
    "payload",
    [
        b"",
        b"{}",
        kpl.MAGIC,
        sealed(b""),
        aggregate_of(["k0"], TWO)[:-1] + b"\0",
        sealed(text(1, b"k0") + text(3, text(3, b"no index"))),
        sealed(text(1, b"k0") + text(3, number(1, 0))),
        sealed(text(1, b"k0") + text(3, record(0, None, b"1") + text(4, b""))),
        sealed(text(1, b"k0") + b"\x1a\x7f"),
    ],
)
def test_what_is_no_aggregate_to_the_connector_is_handed_over_whole(payload: bytes) -> None:
    assert kpl.opened(payload) is None


@each(("body", "handed"), GROUPS.values(), ids=GROUPS)
def test_groups_of_protobuf_are_passed_over_where_they_are_whole(body: bytes, handed: list[bytes] | None) -> None:
    found = kpl.opened(sealed(text(1, b"k0") + body))
    assert (found and [one.data for one in found.records[: found.handed_over]]) == handed


def test_an_aggregate_has_to_be_put_under_its_first_key() -> None:
    assert kpl.partition_key(aggregate_of(["k0", "k2"], [(1, None, b"1"), (0, None, b"2")])) == "k2"
    assert kpl.partition_key(aggregate_of(["k0"], [])) is None
    assert kpl.partition_key(b"{}") is None


def test_a_hash_key_of_thousands_of_digits_is_no_shards() -> None:
    inside = kpl.opened(aggregate_of(["k0"], [(0, 0, b"a")], ["1" * 5000]))
    assert inside is not None
    assert (inside.handed_over, inside.why) == (0, OTHER.format(0, "hash key of thousands of digits"))
