"""Message events that Amplitude has refused for good, put on their stream again once what was wrong is mended.

Such an event goes as it was frozen, as the attempt after the one that was refused. The job knows an attempt that
it has seen: so whoever is killed repeats this, and nothing is sent twice. Once the new attempt is answered, its
event is no longer among the refused, or is refused anew.
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ops.answers.refused import Refusal
from ops.maintenance.pace import paced
from settings import Settings
from stores.destinations import Destination
from stores.errors import StoreError
from stores.history import times_set_back
from stores.lake import EXPORT_DEAD_LETTERS, EXPORT_LEDGER, Condition, Lake
from stores.stream import PUT_RECORDS_MAX, Stream
from udfs.export.answers import UNSENT
from udfs.export.redelivery import again
from udfs.export.sender import Outcome


def check(one: Destination) -> None:
    """Raise StoreError while nothing is sent to a destination."""
    if one.state in UNSENT:
        state = f"{one.state} since {one.since}" + (f": {one.words}" if one.words else "")
        msg = (
            f"the destination of project {one.project_id} is {state}; what is put again now would only wait: "
            "mend that (`destinations test`, `set` or `resume`), then repeat this"
        )
        raise StoreError(msg)


def put(settings: Settings, where: list[Condition], found: Mapping[str, Refusal], rate: int) -> Iterator[int]:
    """Put these events of one project, at most so many a second; gives how many at a time.

    An event that was erased is left out. Raises StoreError.
    """
    stream = Stream(settings.export_stream_address)
    data = records(Lake(settings.lake_address), where, found)
    return paced(stream.put(data, min(rate, PUT_RECORDS_MAX)), rate)


def records(lake: Lake, where: list[Condition], found: Mapping[str, Refusal]) -> Iterator[tuple[str, bytes]]:
    """Partition key and bytes of the record that puts each of these events again; none of one that was erased."""
    left, set_back = dict(found), times_set_back(lake, EXPORT_LEDGER)
    columns = ("project_id", "event_id", "payload", "arrival", "shard", "sequence")
    for piece in lake.pieces(
        EXPORT_DEAD_LETTERS, columns, [*where, Condition("kind", "=", Outcome.REFUSED.value)]
    ):
        wanted = pc.is_in(piece["event_id"], pa.array(left, pa.large_string()))
        for row in piece.filter(pc.and_(wanted, pc.is_valid(piece["payload"]))).to_pylist():
            if one := left.pop(row["event_id"], None):
                yield row["event_id"], again(row, row["payload"], one.attempt + 1, one.reason, set_back)
