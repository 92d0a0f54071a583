"""How a query becomes a stage of the graph: translated once, with names, uids and descriptions of ours.

SQL operators have no uid of their own, so an edit anywhere in the graph would orphan the stream position and
the dedupe keys at an upgrade. Each stage is translated on its own, and what the planner made of it is labelled
before the next one follows: the uid is the stage and the operator's kind, whatever stands before it. The name is
`stage: kind` where the operator does the stage's work.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from py4j.java_gateway import JavaObject
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment, Table

FOREVER = timedelta(0)
"""State that is never dropped."""

BUNDLE = ("python.fn-execution.bundle.size", "python.fn-execution.arrow.batch.size")
"""Rows of a bundle, and those of a call within it."""
WRITERS_BUNDLE = 1000
"""Rows for DynamoDB that a checkpoint waits for at most."""

_GENERATED_ID = re.compile(r"\[\d+\]$")
_KINDS = {
    "PythonCalc": "python",
    "PythonCorrelate": "parts",
    "Correlate": "rows",
    "Calc": "select",
    "ConstraintEnforcer": "not-null",
    "TableToDataSteam": "out",  # Flink's own spelling
    "Deduplicate": "deduplicate",
    "GlobalWindowAggregate": "window",
    "WindowAggregate": "window",
    "GroupAggregate": "sum",
    "IcebergStreamWriter": "writer",
    "IcebergFilesCommitter": "committer",
}

_CONVERTERS = frozenset({"select", "not-null", "out", "end"})


class Graph:
    """The stages of one job, in the order they are added."""

    def __init__(self, tables: StreamTableEnvironment, stream_env: Any) -> None:
        self.tables = tables
        self._stream_env = stream_env._j_stream_execution_environment
        self._labelled: set[int] = set()
        self._queued: set[str] = set()
        # what `execute` runs is made there, of all that was added until then
        generate = stream_env._generate_stream_graph
        stream_env._generate_stream_graph = lambda *args, **named: self._queues_only(generate(*args, **named))
        # read when a query is translated, so that each stage has its own
        self._options = tables.get_config()

    def stream(  # noqa: PLR0913  by name, all but the first four
        self,
        name: str,
        title: str,
        query: Table,
        keep_state: timedelta = FOREVER,
        *,
        queued: bool = False,
        bundle: int | None = None,
    ) -> Table:
        """Add a query as a stage that others may read, however many: it stands in the job once.

        The rows stay in Flink's internal form on the way through the DataStream; nothing is converted. Those of a
        `queued` stage wait in the network for whoever reads them, where checkpoints overtake them: its reader
        is slow, and else would be chained to it. Where the Python in a stage waits for somebody, a checkpoint
        waits for a `bundle` of rows at most.
        """
        self._keep_state(keep_state)
        j_table = query._j_table
        j_tables = self.tables._j_tenv
        types = get_gateway().jvm.org.apache.flink.table.types.utils.DataTypeUtils
        row = types.toInternalDataType(j_table.getResolvedSchema().toPhysicalRowDataType())
        with self._bundles_of(bundle):
            stream = j_tables.toDataStream(j_table, row)
        if queued:
            stream = stream.rebalance()
            self._queued.add(f"{name}-out")
        self._label(name, title)
        return Table(j_tables.fromDataStream(stream), self.tables)

    def sink(self, name: str, title: str, query: Table, table: str, *, bundle: int = WRITERS_BUNDLE) -> None:
        """Add a query as a stage that ends in a table. The Python in it is a writer that waits for its table.

        A checkpoint waits for a `bundle` of rows at most: a bundle ends before the checkpoint passes.
        """
        self._keep_state(FOREVER)
        statements = self.tables.create_statement_set()
        statements.add_insert(table, query)
        with self._bundles_of(bundle):
            statements.attach_as_datastream()
        self._label(name, title)

    @contextmanager
    def _bundles_of(self, rows: int | None) -> Iterator[None]:
        """Let what is translated within it have bundles of so many rows, each one call; None: as configured."""
        options = BUNDLE if rows is not None else ()
        for option in options:
            self._options.set(option, str(rows))
        yield
        for option in options:
            self._options.get_configuration()._j_configuration.removeKey(option)

    def _queues_only(self, stream_graph: JavaObject) -> JavaObject:
        """Let checkpoints overtake rows behind queued stages, and nowhere else.

        On its way to Iceberg's committer what a writer has written must stay before the checkpoint that it belongs
        to: restored behind it, the committer takes it for committed and leaves it out.
        """
        array_list = get_gateway().jvm.java.util.ArrayList
        for node in array_list(stream_graph.getStreamNodes()):
            for edge in array_list(node.getOutEdges()):
                edge.setSupportsUnalignedCheckpoints(node.getTransformationUID() in self._queued)
        return stream_graph

    def _keep_state(self, time: timedelta) -> None:
        self._options.set("table.exec.state.ttl", f"{int(time.total_seconds() * 1000)} ms")

    def _label(self, stage: str, title: str) -> None:
        seen: Counter[str] = Counter()
        for operator in self._new_operators():
            kind = _kind(operator.getName())
            seen[kind] += 1
            uid = f"{stage}-{kind}" + (f"-{seen[kind]}" if seen[kind] > 1 else "")
            operator.setUid(uid)
            operator.setDescription(f"{title} / {operator.getDescription() or kind}")
            operator.setName(f"{stage}: queue" if uid in self._queued else _name(stage, kind))
            self._labelled.add(operator.getId())

    def _new_operators(self) -> Iterator[JavaObject]:
        for operator in operators(self._stream_env):
            if operator.getId() not in self._labelled:
                yield operator


def operators(j_stream_env: JavaObject) -> list[JavaObject]:
    """All transformations of a job that is not executed yet, in the order they were made."""
    array_list = get_gateway().jvm.java.util.ArrayList
    found = {
        operator.getId(): operator
        for last in array_list(j_stream_env.getTransformations())
        for operator in array_list(last.getTransitivePredecessors())
    }
    return [found[key] for key in sorted(found)]


def _name(stage: str, kind: str) -> str:
    """What the UI calls an operator; brief where it only converts, because a task is called by its whole chain."""
    if kind in _CONVERTERS:
        return kind
    return f"to {stage}" if kind == "in" else f"{stage}: {kind.removeprefix(f'{stage}-')}"


def _kind(generated: str) -> str:
    """A generated name such as `Calc[3]` or `*anonymous_datastream_source$2*[6]` in our words."""
    name = _GENERATED_ID.sub("", generated)
    if name.startswith("*anonymous_datastream_source"):
        return "in"
    if name.startswith("IcebergSink "):
        return "end"
    return _KINDS.get(name) or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
