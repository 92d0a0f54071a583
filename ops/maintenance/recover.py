"""What the Kinesis connector dropped of KPL aggregates, put on the stream again."""

from collections.abc import Iterable

from ops.answers.aggregates import Dropped, digest
from stores.stream import Stream
from udfs import kpl


def put_again(stream: Stream, found: Iterable[Dropped]) -> None:
    """Put each missing record on the stream, alone. Raises StoreError."""
    records = (record for one in found for record in one.missing)
    for _ in stream.put((kpl.partition_key(one.data) or digest(one.data).hex(), one.data) for one in records):
        pass
