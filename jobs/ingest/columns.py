"""Columns in SQL: the types of Python functions, and rows as the lake and the writers take them."""

from datetime import datetime
from typing import Any, Final

from pyflink.table import DataTypes, StreamTableEnvironment, Table
from pyflink.table.udf import udf

from udfs.model import EVENT_COLUMNS, Kind

LINEAGE: Final = ("arrival", "shard", "sequence", "sub_index")
"""Where a row came from: which record of the stream, and which part of it."""
STORED_LINEAGE: Final = "CAST(arrival AS TIMESTAMP_LTZ(6)) AS arrival, shard, sequence, sub_index"
"""The same as the lake has it."""
IS_UPDATE: Final = f"kind = '{Kind.USER_UPDATE}'"
TIMES: Final = [name for name, kind in EVENT_COLUMNS.items() if kind is datetime]


def event_columns() -> str:
    """The columns of an event or a user update as the lake has them."""
    columns = {name: f"`{name}`" for name in EVENT_COLUMNS}
    columns |= {name: f"CAST(`{name}` AS TIMESTAMP_LTZ(6)) AS `{name}`" for name in TIMES}
    return ", ".join(columns.values())


# pandas knows no time before 1677, and makes a float of a number that may be null
_AS_TEXT = {*TIMES, "arrival", "amplitude_id", "event_id", "sub_index"}


def written(tables: StreamTableEnvironment, name: str, writer: Any, columns: tuple[str, ...], rows: str) -> Table:
    """Rows handed to a writer; what remains is a number for each, which nobody reads."""
    tables.create_temporary_function(
        f"write_{name}", udf(writer, result_type=DataTypes.BIGINT(), func_type="pandas")
    )
    spelled = ", ".join(
        f"CAST(`{column}` AS STRING)" if column in _AS_TEXT else f"`{column}`" for column in columns
    )
    return tables.sql_query(f"SELECT write_{name}({spelled}) AS written FROM {rows}")  # noqa: S608
