"""The graph of the ingest job, top to bottom. docs/architecture.md shows the same as a picture."""

from datetime import timedelta
from typing import NamedTuple

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from jobs.ingest.cohorts import cohort_changes, cohort_messages, member_groups, members, membership
from jobs.ingest.counts import by_name, ledger, partial_counts, totals
from jobs.ingest.dead_letters import dead_letters
from jobs.ingest.decode import Decoded, decode, opened
from jobs.ingest.ends import Ends
from jobs.ingest.events import stored_events, stored_updates
from jobs.ingest.first_copies import CONTENT_WINDOW, First, first_contents, first_copies, first_messages
from jobs.ingest.profiles import profile_updates, profiles
from jobs.stages import WRITERS_BUNDLE, Graph
from udfs.cohorts import GROUP


class Rules(NamedTuple):
    """What of the settings shapes the graph."""

    dedupe_window: timedelta
    """how long the first copy of an event is remembered, from its arrival"""
    usage_interval: timedelta
    """how often totals are written, at most"""


def build(env: StreamExecutionEnvironment, tables: StreamTableEnvironment, ends: Ends, rules: Rules) -> None:
    """Add the ingest job to `env`."""
    graph, interval = Graph(tables, env), rules.usage_interval

    single = graph.stream("decode", "Records decoded and attributed", decode(tables, ends))
    parts = graph.stream("open", "Records out of envelopes, decoded and attributed", opened(tables, ends, single))
    decoded = Decoded(single, parts)
    copies = graph.stream(
        "first-copy", "First copy of each event and update", first_copies(tables, decoded), rules.dedupe_window
    )
    unnamed = graph.stream(
        "first-content", "First copy of updates without an id", first_contents(tables, decoded), CONTENT_WINDOW
    )
    messages = graph.stream(
        "first-message", "First copy of each cohort message", first_messages(tables, decoded), rules.dedupe_window
    )
    first = First(copies, unnamed, messages)
    changes = graph.stream("change", "Users who enter or leave a cohort", cohort_changes(tables, messages))
    groups = graph.stream(
        "member-groups", "Users queued for cohorts", member_groups(tables, messages), queued=True
    )
    due = graph.stream(
        "profile-updates", "Updates queued for profiles", profile_updates(tables, first), queued=True
    )
    counts = graph.stream("count", "Records counted by outcome", partial_counts(tables, decoded, first, interval))

    graph.sink("event-store", "Events, each once", stored_events(tables, copies), ends.event_store)
    graph.sink("user-updates", "User updates, each once", stored_updates(tables, first), ends.user_updates)
    graph.sink(
        "cohort-messages", "Cohort messages as they came", cohort_messages(tables, decoded), ends.cohort_messages
    )
    graph.sink("cohort-changes", "Users of cohort messages", membership(tables, changes), ends.cohort_changes)
    graph.sink("dead-letters", "Records that are not taken", dead_letters(tables, decoded), ends.dead_letters)
    graph.sink("ledger", "Counts of all records", ledger(tables, counts), ends.ledger)
    graph.sink("event-counts", "Counts by event name", by_name(tables, counts, interval), ends.event_counts)
    graph.sink("usage", "Monthly totals per project", totals(tables, counts, ends), ends.written("usage"))
    graph.sink("profiles", "Properties of users", profiles(tables, due, ends), ends.written("profiles"))
    graph.sink(
        "members",
        "Members of cohorts",
        members(tables, groups, ends),
        ends.written("members"),
        bundle=WRITERS_BUNDLE // GROUP,
    )
