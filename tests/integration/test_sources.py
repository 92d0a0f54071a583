"""What the Kinesis connector makes of our options and of aggregates, asked of its own code."""

from datetime import UTC, datetime
from hashlib import md5
from random import Random
from typing import Any

import pytest
from pyflink.java_gateway import get_gateway

from jobs.sources import connector_options
from settings import Kinesis
from tests.kpl import GROUPS, aggregate_of, random_aggregate, sealed, text
from udfs import envelope, kpl
from udfs.envelope import Form, Part

# The emulator takes the milliseconds that the connector's SDK sends (without CBOR) for seconds, so that a start
# at a timestamp fails there as "in the future": this is as near as a test gets without AWS.


def test_a_start_at_a_timestamp_is_that_instant() -> None:
    start = datetime(2026, 3, 1, 9, 30, 15, 250_000, tzinfo=UTC)
    options = connector_options(Kinesis(initial_position="AT_TIMESTAMP", initial_timestamp=start))
    jvm = get_gateway().jvm
    properties = jvm.java.util.Properties()
    properties.setProperty("flink.stream.initpos.timestamp", options["scan.stream.initpos-timestamp"])
    parse = jvm.org.apache.flink.streaming.connectors.kinesis.util.KinesisConfigUtil
    assert parse.parseStreamTimestampStartingPosition(properties).getTime() == start.timestamp() * 1000


def test_the_default_start_is_the_oldest_record_and_no_endpoint_is_given() -> None:
    options = connector_options(Kinesis())
    assert options["scan.stream.initpos"] == "TRIM_HORIZON"
    assert not {"aws.endpoint", "scan.stream.initpos-timestamp"} & options.keys()


HASHES = 2**128


def aggregate(*records: bytes, key: bytes = b"k") -> bytes:
    """Records as the KPL aggregates them, all with one partition key."""
    parts = b"".join(_field(3, b"\x08\x00" + _field(3, data)) for data in records)
    body = _field(1, key) + parts
    return b"\xf3\x89\x9a\xc2" + body + md5(body, usedforsecurity=False).digest()


def _field(number: int, value: bytes) -> bytes:
    length, spelled = len(value), b""
    while length > 127:
        spelled, length = spelled + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + spelled + bytes([length]) + value


def handed_over(payload: bytes, hashes: tuple[int, int] = (0, HASHES - 1)) -> list[bytes]:
    """What the connector hands the job for one record of a shard with these hash keys."""
    jvm: Any = get_gateway().jvm
    aws: Any = jvm.org.apache.flink.kinesis.shaded.com.amazonaws.services.kinesis
    record = aws.model.Record()
    record.setData(jvm.java.nio.ByteBuffer.wrap(payload))
    record.setPartitionKey("k")
    record.setSequenceNumber("1")
    records = jvm.java.util.ArrayList()
    records.add(record)
    first, last = (jvm.java.math.BigInteger(str(one)) for one in hashes)
    found = aws.clientlibrary.types.UserRecord.deaggregate(records, first, last)
    return [bytes(one.getData().array()) for one in found]


def test_the_connector_opens_what_the_kpl_has_aggregated() -> None:
    assert handed_over(aggregate(b"one", b"two" * 100)) == [b"one", b"two" * 100]


def test_an_aggregate_with_a_wrong_checksum_is_handed_over_whole_and_named_by_us() -> None:
    broken = aggregate(b"one")[:-1] + b"\0"
    assert handed_over(broken) == [broken]
    assert envelope.form(broken) is Form.KPL
    assert [part.fault.reason for part in envelope.unpack(broken) if part.fault] == ["kpl_invalid"]


def test_an_aggregate_in_an_aggregate_is_opened_by_us() -> None:
    inner = aggregate(b"one", b"two")
    assert handed_over(aggregate(inner)) == [inner]
    assert list(envelope.unpack(inner)) == [Part(b"one"), Part(b"two")]


THIRD = (0, HASHES // 3)  # the first of three shards: the key k0 belongs there, k2 does not
RULES = {
    "keys of one shard": (aggregate_of(["k0"], [(0, None, b"1"), (0, None, b"2")]), 2),
    "a key of another shard takes all with it": (
        aggregate_of(["k0", "k2"], [(0, None, b"1"), (0, None, b"2"), (1, None, b"3")]), 0
    ),
    "a hash key of the shard counts, not the key": (aggregate_of(["k2"], [(0, 0, b"1")], ["5"]), 1),
    "a hash key of another shard": (aggregate_of(["k0"], [(0, None, b"1"), (0, 0, b"2")], [str(HASHES - 1)]), 0),
    "a hash key below all": (aggregate_of(["k0"], [(0, None, b"1"), (0, 0, b"2")], ["-1"]), 0),
    "a hash key that is no number": (
        aggregate_of(["k0"], [(0, None, b"1"), (0, 0, b"2"), (0, None, b"3")], ["undefined"]), 1
    ),
    "a hash key in digits of another script": (aggregate_of(["k2"], [(0, 0, b"1")], ["+\u0665\uff15"]), 1),
    "a hash key in digits that are two of Java's characters": (
        aggregate_of(["k0"], [(0, None, b"1"), (0, 0, b"2")], ["\U0001d7d3"]), 1
    ),
    "a hash key that is not there": (aggregate_of(["k0"], [(0, None, b"1"), (0, 7, b"2")]), 1),
    "a key that is not there": (aggregate_of(["k0"], [(0, None, b"1"), (1, None, b"2"), (0, None, b"3")]), 1),
    "no table of keys": (aggregate_of([], [(0, None, b"1"), (0, None, b"2")]), 0),
    "nothing": (aggregate_of(["k0"], []), 0),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "handed"), RULES.values(), ids=RULES)
def test_what_the_connector_drops_of_an_aggregate_is_what_our_rule_says(payload: bytes, handed: int) -> None:
    ours = kpl.opened(payload, THIRD)
    assert ours is not None
    assert handed_over(payload, THIRD) == [one.data for one in ours.records[: ours.handed_over]]
    assert ours.handed_over == handed


@pytest.mark.parametrize(("body", "handed"), GROUPS.values(), ids=GROUPS)
def test_the_connector_passes_over_groups_where_they_are_whole(body: bytes, handed: list[bytes] | None) -> None:
    payload = sealed(text(1, b"k0") + body)
    assert handed_over(payload) == (handed or [payload])


def test_our_rule_is_the_connectors_for_whatever_is_sealed_as_an_aggregate() -> None:
    rng = Random(1)
    whole = 0
    for _ in range(400):
        payload = random_aggregate(rng)
        hashes = rng.choice([THIRD, (0, HASHES - 1), (HASHES // 3 + 1, HASHES // 2)])
        ours = kpl.opened(payload, hashes)
        expected = [payload] if ours is None else [one.data for one in ours.records[: ours.handed_over]]
        whole += ours is None
        assert handed_over(payload, hashes) == expected, payload
    assert 20 < whole < 300
