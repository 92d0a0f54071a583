"""What the job makes of one record, in this process: its row, or the rows of the parts of an envelope."""

from datetime import datetime
from typing import Any, NamedTuple

from udfs import decode, envelope
from udfs.attribute import Registry
from udfs.envelope import Limits, Part
from udfs.intake import MacKeys
from udfs.model import DECODED, Rejection, Row


class Leaf(NamedTuple):
    """A single record and its row."""

    payload: bytes
    row: Row

    @property
    def kind(self) -> str:
        return self.row[0]

    @property
    def reason(self) -> str | None:
        return self.row[1]

    @property
    def columns(self) -> dict[str, Any]:
        return dict(zip(DECODED, self.row, strict=True))


def leaves(
    payload: bytes,
    arrival: datetime,
    registry: Registry,
    keys: MacKeys = MacKeys(None),  # noqa: B008
) -> list[Leaf]:
    """One record's outcomes, none of them an envelope; `arrival` in naive UTC."""
    return [Leaf(*leaf) for leaf in decode.leaves(payload, arrival, registry, keys)]


def opened(payload: bytes, limits: Limits = Limits()) -> tuple[list[bytes], list[Rejection]]:  # noqa: B008
    """Heads and faults; every fault stands behind the heads and holds the whole envelope."""
    parts = list(envelope.unpack(payload, limits))
    heads = [part.payload for part in parts if not part.fault]
    faults = [part.fault for part in parts if part.fault]
    assert parts == [Part(head) for head in heads] + [Part(payload, fault) for fault in faults]
    return heads, faults
