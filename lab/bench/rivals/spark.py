"""PySpark Structured Streaming: local[2], micro-batches of a few files, state in RocksDB.

As its guide recommends: one query, `from_json` with a schema, `dropDuplicatesWithinWatermark` over 40 days of
arrival, and foreachBatch, which writes a batch's rows and their counts into folders of its number: a batch that is
repeated overwrites its own. What is counted is read back, two columns of it, so that no rows have to be persisted
for it. A small input is run before, so that the JVM is warm.

Not guaranteed: each event once only within the watermark's delay. Rows and counts of a batch appear one after the
other, and a batch that is repeated takes its rows away before it writes them: a table format (another jar) is
needed for a reader to see whole batches. Files are not synced to disk. A row is visible only when its micro-batch
is done, and the number of state partitions is fixed for the life of a checkpoint.
"""

import sys
from datetime import datetime
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  Spark's own convention
from pyspark.sql.types import DoubleType, LongType, StringType, StructField, StructType, TimestampType

from lab.bench.rivals.meter import Counts, Meter, report
from udfs.model import DOCUMENTED_COLUMNS, EVENT_COLUMNS, EVENT_PREFIX

FILES_PER_TRIGGER = 20  # a batch takes about as long as our checkpoints are apart
WARM_UPS = 4  # after one of 50 000 events the next 100 000 still took three times as long as later ones
WINDOW = "40 days"
_TYPES = {str: StringType(), dict: StringType(), int: LongType(), float: DoubleType(), datetime: TimestampType()}
_JSON_NAMES = {"insert_id": "$insert_id"}
_CONFIG = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",  # one per core: each is a RocksDB of its own
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",  # a look-up less per write
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",  # as ours
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",  # nothing waits for the watermark
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.driver.memory": "4g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def session() -> SparkSession:
    """Spark in a JVM that this process has started."""
    builder = SparkSession.builder.master("local[2]").appName("bench-spark")
    for name, value in _CONFIG.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def events(spark: SparkSession, folder: Path) -> DataFrame:
    """The first copy of each line of the files in a folder, as rows of the event store."""
    fields = [
        StructField("app", LongType()),
        StructField("event_type", StringType()),
        *(StructField(_JSON_NAMES.get(name, name), _TYPES[kind]) for name, kind in DOCUMENTED_COLUMNS.items()),
    ]
    lines = spark.readStream.option("maxFilesPerTrigger", FILES_PER_TRIGGER).text(str(folder))
    decoded = lines.select(
        # without a timestampFormat, which would take a parser made of a pattern in place of Spark's own
        F.from_json("value", StructType(fields)).alias("event"),
        F.current_timestamp().alias("arrival"),
    ).select("event.*", "arrival")
    first = decoded.withWatermark("arrival", WINDOW).dropDuplicatesWithinWatermark(["app", "uuid", "event_type"])
    return first.select(*_columns())


def run(spark: SparkSession, folder: Path, out: Path, meter: Meter) -> None:
    """Consume what is there, batch by batch, into `out`."""

    def store(batch: DataFrame, number: int) -> None:
        folder = str(out / "events" / f"batch={number}")
        batch.write.mode("overwrite").partitionBy("day").parquet(folder)
        counts = spark.read.parquet(folder).groupBy("project_id", "month").count()
        counts.coalesce(1).write.mode("overwrite").parquet(str(out / "counts" / f"batch={number}"))

    first = events(spark, folder)
    query = (
        first.writeStream.foreachBatch(store)
        .option("checkpointLocation", str(out / "checkpoint"))
        .trigger(availableNow=True)
    )
    meter.start()
    query.start().awaitTermination()


def counted(spark: SparkSession, out: Path) -> Counts:
    """Events stored by project and month: the sum over all batches."""
    stored = spark.read.parquet(str(out / "counts"))
    totals = stored.groupBy("project_id", "month").agg(F.sum("count").alias("events")).collect()
    return {(row["project_id"], row["month"]): row["events"] for row in totals}


def main(folder: Path, out: Path, warm_up: Path) -> None:
    """Run the warm-up some times, then the measured input, in one JVM."""
    spark = session()
    for number in range(WARM_UPS):
        run(spark, warm_up, out / "warm-up" / str(number), Meter())
    meter = Meter()
    run(spark, folder, out, meter)
    report(meter.stop(), counted(spark, out))
    spark.stop()


def _columns() -> list[Column]:
    project, event_type, uuid = F.col("app").cast("string"), F.col("event_type"), F.col("uuid")
    made = {
        "project_id": F.col("app"),
        "notifly_project": F.concat(F.lit("notifly-"), project),
        "month": F.date_format("server_upload_time", "yyyy-MM"),
        "name": F.concat(F.lit(EVENT_PREFIX), event_type),
        "identity": F.concat(
            *(F.lit("1|"), F.length(uuid), F.lit(":"), uuid),
            *(F.lit("|"), F.length(event_type), F.lit(":"), event_type),
        ),
        "identity_rung": F.lit(1).cast("long"),
        "extra": F.lit(None).cast("string"),
        "repairs": F.lit(None).cast("string"),
        **{name: F.col(json_name) for name, json_name in _JSON_NAMES.items()},
    }
    lineage = {
        "popup_trigger": F.lit(False),
        "arrival": F.col("arrival"),
        "shard": F.lit("shardId-000000000000"),
        "sequence": F.lit("0"),
        "sub_index": F.lit(None).cast("long"),
        "day": F.to_date("server_upload_time"),
    }
    columns = {name: made.get(name, F.col(name)) for name in EVENT_COLUMNS} | lineage
    return [column.alias(name) for name, column in columns.items()]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
