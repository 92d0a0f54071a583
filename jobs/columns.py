"""Python's types as the columns of Flink's tables have them."""

from datetime import datetime

from pyflink.table import DataTypes
from pyflink.table.types import DataType, RowType


def row_type(columns: dict[str, type]) -> RowType:
    """Columns as the type of a Python function's result."""
    return DataTypes.ROW([DataTypes.FIELD(name, data_type(kind)) for name, kind in columns.items()])


def data_type(kind: type) -> DataType:
    """A Python type as a column has it."""
    # microseconds: Arrow carries them, and Flink takes them inside a ROW
    return {
        str: DataTypes.STRING(),
        dict: DataTypes.STRING(),
        int: DataTypes.BIGINT(),
        float: DataTypes.DOUBLE(),
        bytes: DataTypes.BYTES(),
        bool: DataTypes.BOOLEAN(),
        list[int]: DataTypes.ARRAY(DataTypes.BIGINT()),
        list[bytes]: DataTypes.ARRAY(DataTypes.BYTES()),
        datetime: DataTypes.TIMESTAMP(6),
    }[kind]
