"""Where records come from: the shared Kinesis stream, as a table of bytes with their lineage.

The only file that knows the connector, so that a newer one is a change here.
"""

from pyflink.table import StreamTableEnvironment, Table

from settings import Kinesis


def kinesis_records(tables: StreamTableEnvironment, kinesis: Kinesis) -> Table:
    """payload BYTES, arrival TIMESTAMP_LTZ(3), shard STRING, sequence STRING of every record on the stream."""
    tables.execute_sql(f"""
        CREATE TEMPORARY TABLE records (
            payload BYTES,
            arrival TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
            shard STRING METADATA FROM 'shard-id' VIRTUAL,
            sequence STRING METADATA FROM 'sequence-number' VIRTUAL
        ) WITH ({with_options(connector_options(kinesis))})
    """)
    return tables.from_path("records")


def connector_options(kinesis: Kinesis) -> dict[str, str]:
    """Settings in the words of the connector's table options."""
    options = {
        "connector": "kinesis",
        "format": "raw",
        "stream": kinesis.stream,
        "aws.region": kinesis.region,
        "scan.stream.initpos": kinesis.initial_position,
        "scan.shard.discovery.intervalmillis": str(kinesis.shard_discovery_interval_ms),
    }
    if kinesis.initial_timestamp is not None:
        # epoch seconds are the one form of the connector that knows no time zone
        options["scan.stream.initpos-timestamp"] = f"{kinesis.initial_timestamp.timestamp():.3f}"
    if kinesis.endpoint is not None:
        options["aws.endpoint"] = kinesis.endpoint
    return options


def with_options(options: dict[str, str]) -> str:
    """Options as the WITH clause of a table or catalog takes them."""
    quoted = ((key, value.replace("'", "''")) for key, value in options.items())
    return ", ".join(f"'{key}' = '{value}'" for key, value in quoted)
