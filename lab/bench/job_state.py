"""The rival of the profile writer: the same merge rule over Flink's Python keyed state, see lab.bench.users.

A profile lives in two strings of keyed state, and each update goes through the Python worker alone: the way (a) of
architecture §2, without a store behind it.
"""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat
from pyflink.datastream.state import ValueStateDescriptor

from udfs import clock
from udfs.profile import Clock, Profile, Update


class MergeInState(KeyedProcessFunction):  # type: ignore[misc]
    """payload of a user update → the user's properties."""

    def open(self, runtime_context: RuntimeContext) -> None:
        self.texts = runtime_context.get_state(ValueStateDescriptor("profile", Types.STRING()))

    def process_element(self, value: str, ctx: KeyedProcessFunction.Context) -> Iterator[str]:
        record = json.loads(value)
        known = self.texts.value()
        profile = Profile.load(*json.loads(known)) if known else Profile()
        at = clock.microseconds(datetime.fromisoformat(record["server_upload_time"]))
        identity = record["uuid"].encode()[:16]
        properties = json.dumps(record["user_properties"])
        profile.apply(Update(Clock(at, -1, -1, 0, -1), identity, record["event_type"], properties))
        texts = profile.dump()
        self.texts.update(json.dumps(texts))
        yield texts[0]


def user(value: str) -> str:
    """The key: project and user."""
    record = json.loads(value)
    return json.dumps([record["app"], record["user_id"]])


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    parser.add_argument("--input", required=True)
    options = parser.parse_args()
    configuration = Configuration()
    # without a sink that waits for one, the end of the input is the end of the job
    configuration.set_string("execution.checkpointing.checkpoints-after-tasks-finish", "false")
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    files = FileSource.for_record_stream_format(StreamFormat.text_line_format(), options.input).build()
    lines = env.from_source(files, WatermarkStrategy.no_watermarks(), "lines")
    merged = lines.key_by(user, Types.STRING()).process(MergeInState(), Types.STRING())
    merged.filter(lambda text: text is None).print()
    env.execute("bench-state")


if __name__ == "__main__":
    main()
