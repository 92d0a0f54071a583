"""Stages `change`, `member-groups` and the cohort tables: who enters or leaves a cohort."""

from datetime import datetime

from pyflink.table import DataTypes, StreamTableEnvironment, Table
from pyflink.table.udf import udtf

from jobs.columns import data_type
from jobs.ingest.columns import LINEAGE, STORED_LINEAGE, written
from jobs.ingest.decode import Decoded
from jobs.ingest.ends import Ends
from udfs.functions import CohortChanges, MemberGroups
from udfs.model import COHORT_COLUMNS, Kind

_HEAD = ("cohort_id", "cohort_name", "in_cohort", "computed_time")
GROUP_COLUMNS = ("project_id", *_HEAD, "user_ids")
"""Some users of a cohort message; `computed_time` as text."""


def cohort_changes(tables: StreamTableEnvironment, messages: Table) -> Table:
    """The users of each cohort message, a row each."""
    # text for a time: what a table function returns has no microseconds in it
    types = [DataTypes.STRING() if kind is datetime else data_type(kind) for kind in COHORT_COLUMNS.values()]
    tables.create_temporary_function("cohort_changes", udtf(CohortChanges(), result_types=types))
    return tables.sql_query(f"""
        SELECT project_id, notifly_project, {", ".join(COHORT_COLUMNS)}, {", ".join(LINEAGE)}
        FROM {messages} AS message,
            LATERAL TABLE(cohort_changes(message.payload, message.arrival)) AS change({", ".join(COHORT_COLUMNS)})
    """)  # noqa: S608


def member_groups(tables: StreamTableEnvironment, messages: Table) -> Table:
    """The users of each cohort message, few enough in a row to be one request of the writer.

    Such rows wait for the writer. A row for each user would repeat its message: five times as much in the queue.
    """
    texts = DataTypes.STRING()
    types = [texts, texts, DataTypes.BOOLEAN(), texts, DataTypes.ARRAY(texts)]
    tables.create_temporary_function("member_groups", udtf(MemberGroups(), result_types=types))
    return tables.sql_query(f"""
        SELECT {", ".join(GROUP_COLUMNS)}
        FROM {messages} AS message,
            LATERAL TABLE(member_groups(message.payload, message.arrival)) AS users({", ".join(GROUP_COLUMNS[1:])})
    """)  # noqa: S608


def cohort_messages(tables: StreamTableEnvironment, decoded: Decoded) -> Table:
    """Cohort messages, copies included."""
    columns = f"project_id, notifly_project, payload, {STORED_LINEAGE}"
    return tables.sql_query(decoded.select(columns, f"kind = '{Kind.COHORT}'"))


def membership(tables: StreamTableEnvironment, changes: Table) -> Table:
    """Users of cohort messages as their history has them."""
    columns = ["project_id", "notifly_project", *COHORT_COLUMNS]
    at = columns.index("computed_time")
    columns[at] = "CAST(CAST(computed_time AS TIMESTAMP(6)) AS TIMESTAMP_LTZ(6)) AS computed_time"
    return tables.sql_query(f"SELECT {', '.join(columns)}, {STORED_LINEAGE} FROM {changes}")  # noqa: S608


def members(tables: StreamTableEnvironment, groups: Table, ends: Ends) -> Table:
    """Memberships, handed to the writer."""
    return written(tables, "members", ends.write_members, GROUP_COLUMNS, str(groups))
