"""The graph of the export job, top to bottom. docs/architecture.md shows the same as a picture."""

from datetime import timedelta
from typing import Final

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from jobs.export.counts import counts, ledger
from jobs.export.dead_letters import dead_letters
from jobs.export.deliver import deliver, deliveries, outbox, to_send
from jobs.export.ends import Ends
from jobs.export.render import first_sent, render
from jobs.stages import Graph
from udfs.export.sender import BATCH

REMEMBERED: Final = timedelta(days=8)
"""How long an attempt to send an event is remembered: Amplitude itself knows an insert_id for 7 days."""


def build(
    env: StreamExecutionEnvironment, tables: StreamTableEnvironment, ends: Ends, interval: timedelta
) -> None:
    """Add the export job to `env`; it counts over intervals of this length."""
    graph = Graph(tables, env)

    rendered = graph.stream("render", "Message events as Amplitude takes them", render(tables, ends))
    sent = graph.stream("first-sent", "First copy of each attempt", first_sent(tables, rendered), REMEMBERED)
    queue = graph.stream("to-send", "Events queued for Amplitude", to_send(tables, sent), queued=True)
    delivered = graph.stream("deliver", "Events posted to Amplitude", deliver(tables, queue, ends), bundle=BATCH)
    counted = graph.stream("count", "Events by outcome", counts(tables, rendered, sent, delivered, interval))

    graph.sink("deliveries", "What became of each event", deliveries(tables, delivered), ends.deliveries)
    graph.sink("outbox", "Events that wait", outbox(tables, delivered), ends.outbox)
    graph.sink("dead-letters", "What is never sent", dead_letters(tables, rendered, delivered), ends.dead_letters)
    graph.sink("ledger", "Counts of all events", ledger(tables, counted), ends.ledger)
