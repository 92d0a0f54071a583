"""A small lake for the tests of commands: real Iceberg tables, and settings that name them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.sinks import COLUMNS, EXPORT_COLUMNS
from stores.lake import Lake
from stores.lake_address import LakeAddress


@contextmanager
def lake_of(folder: Path, tables: Mapping[str, Sequence[list[dict[str, Any]]]]) -> Iterator[Path]:
    """Settings for tables of these rows, each group of them a file of its own."""
    catalog, warehouse = f"sqlite:///{folder}/catalog.db", f"file://{folder}/warehouse"
    lake = Lake(LakeAddress(catalog, warehouse, "amplitude", None, "ap-northeast-2"))
    for name, groups in tables.items():
        lake.create(name, (COLUMNS | EXPORT_COLUMNS)[name], [])
        table = lake.table(name)
        for rows in groups:
            table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    path = folder / "job.toml"
    path.write_text(f'[lake]\ncatalog_uri = "{catalog}"\nwarehouse = "{warehouse}"\n')
    yield path
    lake.catalog.close()
