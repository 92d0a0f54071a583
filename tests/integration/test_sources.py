"""What the Kinesis connector makes of our options, asked of its own code."""

from datetime import UTC, datetime

from pyflink.java_gateway import get_gateway

from jobs.sources import connector_options
from settings import Kinesis

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
