"""`flink run -pym jobs.maintain --config FILE --cares JSON`: Iceberg's own maintenance of the lake's tables.

It is a program of its own beside the ingest job: the operators of Iceberg's `TableMaintenance` would change the
ingest job's graph, and with it what its savepoints find again. Nothing here has state. What is stopped halfway
leaves the table as it was, and files that nothing refers to.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from py4j.protocol import Py4JJavaError
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

import settings
from errors import FULL, OneLineError
from jobs.sinks import CATALOG_CLASS, catalog_options
from stores.care import MARK, Care, Step
from stores.errors import StoreError
from stores.files import LARGEST, SMALLEST, WANTED
from stores.lake import CATALOG
from stores.lake_address import LakeAddress

_OPTIONS: Final = {
    # a job that fails is planned anew by the next call; a restarted one would have lost what to do
    "restart-strategy.type": "none",
    "state.backend.type": "hashmap",
    # as Iceberg tests it; the ingest job alone was looked at for this
    "pipeline.object-reuse": "false",
}


def main(arguments: Sequence[str]) -> int:
    """Do what is asked, a line on stdout for each step that is done; 2 with one line on stderr when one fails."""
    parser = argparse.ArgumentParser(prog="jobs.maintain", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="settings, like flink-conf/job.reference.toml")
    parser.add_argument("--cares", required=True, help="what each table needs: `stores.care.Care`, a list in JSON")
    options = parser.parse_args(arguments)
    try:
        lake = settings.load(options.config).lake_address
        for care in (Care(*fields) for fields in json.loads(options.cares)):
            for step in care.steps:
                take(lake, care, step)
                print(f"{MARK}{care.table} {step}", flush=True)
    except OneLineError as error:
        print(f"jobs.maintain: {error}", file=sys.stderr)
        return 2
    return 0


def take(lake: LakeAddress, care: Care, step: Step) -> None:
    """Take one step with one table. Raises StoreError."""
    try:
        _TAKEN[step](_loader(lake, care.table), care)
    except Py4JJavaError as error:
        why = _cause(error.java_exception)
        fix = ": make room there, then repeat this" if any(os.strerror(one) in why for one in FULL) else ""
        msg = f"table {lake.namespace}.{care.table}, {step}: {why}{fix}"
        raise StoreError(msg) from None


def _loader(lake: LakeAddress, table: str) -> Any:
    jvm: Any = get_gateway().jvm
    properties = jvm.java.util.HashMap(catalog_options(lake))
    hadoop = jvm.org.apache.hadoop.conf.Configuration()
    catalog = jvm.org.apache.iceberg.flink.CatalogLoader.custom(CATALOG, properties, hadoop, CATALOG_CLASS)
    name = jvm.org.apache.iceberg.catalog.TableIdentifier.parse(f"{lake.namespace}.{table}")
    loader = jvm.org.apache.iceberg.flink.TableLoader.fromCatalog(catalog, name)
    loader.open()
    return loader


def _compact(loader: Any, care: Care) -> None:
    """Write the files of days that are over anew in fewer; also rows without a day, which no day ever closes."""
    api = get_gateway().jvm.org.apache.iceberg.flink.maintenance.api
    expressions = get_gateway().jvm.org.apache.iceberg.expressions.Expressions
    over = expressions.lessThan(care.day_column, care.over_before)
    _run(
        loader,
        f"compact {care.table}",
        api.RewriteDataFiles.builder()
        .filter(getattr(expressions, "or")(over, expressions.isNull(care.day_column)))
        .targetFileSizeBytes(WANTED)
        .minFileSizeBytes(SMALLEST)
        .maxFileSizeBytes(LARGEST)
        .minInputFiles(2),
    )


def _remove_orphans(loader: Any, care: Care) -> None:
    jvm: Any = get_gateway().jvm
    table = loader.loadTable()
    # without a snapshot Iceberg's task takes the table's own metadata for orphans
    if table.currentSnapshot() is None:
        return
    age = jvm.java.time.Duration.ofMillis(round(time.time() * 1000) - care.orphans_before)
    # with the slash: the files of another table, whose name begins like this one's, are not its orphans
    folder = f"{table.location()}/"
    task = jvm.org.apache.iceberg.flink.maintenance.api.DeleteOrphanFiles.builder()
    _run(loader, f"remove orphans of {care.table}", task.location(folder).minAge(age).usePrefixListing(True))


def _expire(loader: Any, care: Care) -> None:
    change = loader.loadTable().expireSnapshots().expireOlderThan(care.expire_before)
    change.retainLast(care.keep_last).cleanExpiredFiles(True).commit()


def _rewrite_manifests(loader: Any, _: Care) -> None:
    # by a key that is one for all: as few manifests as their size allows
    one_for_all = get_gateway().jvm.com.google.common.base.Functions.constant("")
    loader.loadTable().rewriteManifests().clusterBy(one_for_all).commit()


_TAKEN: Final[Mapping[Step, Callable[[Any, Care], None]]] = {
    "compact": _compact,
    "manifests": _rewrite_manifests,
    "expire": _expire,
    "orphans": _remove_orphans,
}


def _run(loader: Any, name: str, task: Any) -> None:
    """Run one of Iceberg's tasks once, as a bounded job: a single change of the table triggers it."""
    jvm: Any = get_gateway().jvm
    configuration = Configuration()
    for key, value in _OPTIONS.items():
        configuration.set_string(key, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    java = env._j_stream_execution_environment
    java.getCheckpointConfig().disableCheckpointing()
    change = jvm.org.apache.iceberg.flink.maintenance.operator.TableChange
    once = jvm.java.util.Collections.singletonList(change.builder().commitCount(1).build())
    kind = jvm.org.apache.flink.api.common.typeinfo.TypeInformation.of(once.get(0).getClass())
    stream = java.fromCollection(once, kind)
    maintenance = jvm.org.apache.iceberg.flink.maintenance.api.TableMaintenance.forChangeStream(stream, loader)
    maintenance.add(task.scheduleOnCommitCount(1)).append()
    env.execute(name)


def _cause(error: Any) -> str:
    """The innermost cause of a Java exception in one line."""
    while error.getCause() is not None:
        error = error.getCause()
    return " ".join(str(error.toString()).split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
