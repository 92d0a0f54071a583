"""What the export job has counted, beside what is stored: every event that was read is accounted for.

For each hour of arrival, shard and project: first copies = accepted + refused + waiting; each of these is a row of
`deliveries`; what waited has a row of `outbox`, and another one once its next attempt is made. An event that was
refused and is put again is a first copy anew: it has not waited, so its attempt settles nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from ops.answers.ledger import (
    ANSWERED,
    EXPORT_STREAM,
    WAITING,
    Account,
    Counts,
    Residual,
    account,
    of_stream,
    residuals,
)
from ops.answers.waiting import ERASED, waiting
from stores.lake import DELIVERIES, EXPORT_DEAD_LETTERS, EXPORT_LEDGER, Lake
from stores.stream import Stream
from udfs.export.redelivery import MARK
from udfs.export.render import Kind, Unsent
from udfs.export.sender import Outcome

FIRST: Final = "first"
DUPLICATE: Final = "duplicate"
_BY: Final = ("hour", "shard", "project_id", "redelivery", "outcome", "reason")
_RECORDS: Final = {
    (Kind.DUE, None),
    (Kind.IGNORED, Unsent.NO_DESTINATION),
    *((Kind.REJECTED, reason) for reason in set(Unsent) - {Unsent.NO_DESTINATION, Unsent.INVALID_REDELIVERY}),
}
"""Outcome and reason of what is counted once for each record."""
_PLACE: Final = ("arrival", "shard", "project_id")

Row = Mapping[str, Any]


def summed(lake: Lake, by: Sequence[str] = _BY) -> list[dict[str, Any]]:
    """The export ledger's counts by these columns, in their order; none where no export job has run.

    Raises StoreError.
    """
    pieces = list(lake.pieces(EXPORT_LEDGER, [*by, "events"])) if lake.exists(EXPORT_LEDGER) else []
    if not pieces:
        return []
    whole = pa.concat_tables(pieces).group_by(list(by)).aggregate([("events", "sum")])
    rows: list[dict[str, Any]] = whole.rename_columns([*by, "events"]).to_pylist()
    return sorted(rows, key=lambda row: [str(row[name] or "") for name in by])


def outcomes(lake: Lake) -> list[dict[str, Any]]:
    """What became of all events, by project, outcome and reason, as it stands now. Raises StoreError.

    `duplicate` are copies. An event that waited, or was put again after a refusal, counts as what its last attempt
    came to, or as `erased`.
    """
    counts: Counter[tuple[int | None, str, str | None]] = Counter()
    rows = summed(lake, ("project_id", "redelivery", "outcome", "reason"))
    for row in rows:
        project_id, outcome, events = row["project_id"], row["outcome"], row["events"]
        waits = outcome == Outcome.WAITING
        if outcome == Kind.DUE:
            counts[project_id, DUPLICATE, None] += events
        elif outcome == FIRST:
            counts[project_id, DUPLICATE, None] -= events
            counts[project_id, Outcome.WAITING, None] -= events if row["redelivery"] else 0
            if row["reason"]:
                counts[project_id, Outcome.REFUSED, row["reason"]] -= events
        else:
            counts[project_id, outcome, None if waits else row["reason"]] += events
    for project_id in waiting(lake, outcome=ERASED)["project_id"].to_pylist() if rows else ():
        counts[project_id, Outcome.WAITING, None] -= 1
        counts[project_id, ERASED, None] += 1
    names = ("project_id", "outcome", "reason", "events")
    return [dict(zip(names, (*at, n), strict=True)) for at, n in sorted(counts.items(), key=str) if n]


def compared(lake: Lake) -> dict[str, tuple[Counts, Counts]]:
    """By what is compared: what the export ledger says, and what is found in the tables. Raises StoreError."""
    if not (rows := summed(lake)):
        return {}
    answered = [row for row in rows if row["outcome"] in set(Outcome)]
    first = [row for row in rows if row["outcome"] == FIRST]
    waiting = [row for row in answered if row["outcome"] == Outcome.WAITING]
    dead = [row for row in rows if row["outcome"] in {Kind.REJECTED, Outcome.REFUSED}]
    left = [{**row, "events": -row["events"]} for row in answered if row["redelivery"]]
    return {
        ANSWERED: (_counts(first, ANSWERED), _counts(answered, ANSWERED)),
        DELIVERIES: (_counts(answered, DELIVERIES), _rows(lake, DELIVERIES)),
        WAITING: (_counts([*waiting, *left], WAITING), _unsettled(lake)),
        EXPORT_DEAD_LETTERS: (_reasons(dead, "hour"), _letters(lake)),
    }


def streamed(lake: Lake, stream: Stream) -> dict[str, tuple[Counts, Counts]]:
    """Likewise what the stream of message events still holds, but for events that were put there again.

    Nothing where no export job has counted. Raises StoreError.
    """
    if not (rows := summed(lake)):
        return {}
    put = (one for one in stream.records() if not one.data.startswith(MARK))
    return {EXPORT_STREAM: (_records(rows), of_stream(put, EXPORT_STREAM))}


def _records(rows: Iterable[Row]) -> Counts:
    """The records of the stream but those that put events there again; each once, for however many projects."""
    alone = [row for row in rows if not row["redelivery"] and (row["outcome"], row["reason"]) in _RECORDS]
    return _counts(({**row, "project_id": None} for row in alone), EXPORT_STREAM)


def unbalanced(lake: Lake) -> list[Residual]:
    """All residuals of the export ledger. Raises StoreError."""
    return [one for pair in compared(lake).values() for one in residuals(*pair)]


def _nonzero(counts: Counts) -> Counts:
    return Counter({at: events for at, events in counts.items() if events})


def _counts(rows: Iterable[Row], what: str) -> Counts:
    counts: Counts = Counter()
    for row in rows:
        counts[account(what, row["hour"], row["shard"], row["project_id"])] += row["events"]
    return _nonzero(counts)


def _reasons(rows: Iterable[Row], at: str) -> Counts:
    counts: Counts = Counter()
    for row in rows:
        counts[account(row["reason"], row[at], row["shard"], row["project_id"])] += row["events"]
    return counts


def _rows(lake: Lake, table: str) -> Counts:
    counts: Counts = Counter()
    for piece in lake.pieces(table, _PLACE):
        for row in piece.group_by(list(_PLACE)).aggregate([([], "count_all")]).to_pylist():
            counts[_at(row, table)] += row["count_all"]
    return counts


def _letters(lake: Lake) -> Counts:
    columns = [*_PLACE, "reason"]
    pieces = lake.pieces(EXPORT_DEAD_LETTERS, columns)
    return _reasons(({**row, "events": 1} for piece in pieces for row in piece.to_pylist()), "arrival")


def _unsettled(lake: Lake) -> Counts:
    """The events of the outbox that no later attempt has settled: they wait, or waited when they were erased."""
    tables = (waiting(lake, outcome=outcome) for outcome in (Outcome.WAITING, ERASED))
    return Counter(_at(row, WAITING) for table in tables for row in table.select(_PLACE).to_pylist())


def _at(row: Row, what: str) -> Account:
    arrival: datetime = row["arrival"]
    return account(what, arrival, row["shard"], row["project_id"])
