"""Stages `decode` and `open`: records, and the parts of envelopes, as rows of `model.DECODED`."""

from typing import NamedTuple

from pyflink.table import DataTypes, StreamTableEnvironment, Table
from pyflink.table.udf import udf, udtf

from jobs.columns import data_type, row_type
from jobs.ingest.ends import Ends
from udfs.functions import Decode, DecodePart, Open
from udfs.model import DECODED, OPENED, Kind

_COLUMNS = ", ".join(f"r.`{name}` AS `{name}`" for name in DECODED)


class Decoded(NamedTuple):
    """All rows of `model.DECODED`: of records that hold one thing, and of the parts of those that hold several."""

    single: Table
    parts: Table

    def select(self, columns: str, condition: str) -> str:
        """A query over both; each side is filtered on its own, so that decode stays chained up to the shuffle."""
        return " UNION ALL ".join(f"SELECT {columns} FROM {side} WHERE {condition}" for side in self)  # noqa: S608


def decode(tables: StreamTableEnvironment, ends: Ends) -> Table:
    """Each record as one row of `model.DECODED`; the payload stays with those that are no event."""
    function = udf(Decode(ends.open_registry, ends.gap_shards), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_record", function)
    return tables.sql_query(f"""
        SELECT {_COLUMNS}, arrival, shard, sequence, CAST(NULL AS BIGINT) AS sub_index,
            CAST(NULL AS STRING) AS request_id
        FROM (SELECT decode_record(payload, arrival) AS r, arrival, shard, sequence FROM {ends.records})
    """)  # noqa: S608


def opened(tables: StreamTableEnvironment, ends: Ends, decoded: Table) -> Table:
    """The parts of envelopes, each as one row of `model.DECODED` with its place in the envelope."""
    part = DataTypes.ROW([DataTypes.FIELD(name, data_type(kind)) for name, kind in OPENED.items()])
    tables.create_temporary_function(
        "open_envelope", udtf(Open(ends.open_mac_keys), result_types=part.field_types())
    )
    function = udf(DecodePart(ends.open_registry), result_type=row_type(DECODED), func_type="pandas")
    tables.create_temporary_function("decode_part", function)
    return tables.sql_query(f"""
        SELECT {_COLUMNS}, arrival, shard, sequence, sub_index, request_id
        FROM (
            SELECT decode_part(
                    part.payload, arrival, part.reason, part.detail, part.key_project, part.scopes
                ) AS r,
                arrival, shard, sequence, part.sub_index AS sub_index, part.request_id AS request_id
            FROM {decoded} AS envelope,
                LATERAL TABLE(open_envelope(envelope.payload)) AS part({", ".join(OPENED)})
            WHERE envelope.kind = '{Kind.ENVELOPE}'
        )
    """)  # noqa: S608
