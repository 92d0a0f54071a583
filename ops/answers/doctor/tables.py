"""The tables of DynamoDB and of the lake: whether they are there, and how many files they have."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ops.answers.connection import tables
from ops.answers.steps import Step
from settings import Settings
from stores.alerts import Alerts
from stores.cohorts import CohortMembers, Cohorts
from stores.errors import MissingError, StoreError
from stores.lake import TABLES, Lake, Totals
from stores.leases import Leases
from stores.profiles import Key, Profiles
from stores.projects import Projects
from stores.statements import Statements
from stores.usage import UsageTable

_SUBMIT: Final = "start the ingest job, which creates what is missing: amplitude-bridge submit"
_MANY_FILES: Final = 1000  # of a table
_SMALL: Final = 16 * 2**20  # bytes of one on average
_MIB: Final = 2**20


def dynamodb(settings: Settings) -> Step:
    """Read something of each table of DynamoDB. Raises StoreError when DynamoDB is away."""
    at = tables(settings)
    reads: dict[str, Callable[[], object]] = {
        "projects": Projects(at).list,
        "plans": partial(Projects(at).plan, "-"),
        "cohorts": Cohorts(at).list,
        "cohort_members": partial(CohortMembers(at).count, 0, "-"),
        "profiles": partial(Profiles(at).of_users, [Key(0, "-")]),
        "usage": UsageTable(at).list,
        "alerts": Alerts(at).list,
        "notifications": Alerts(at).pending,
        "statements": Statements(at).list,
        "leases": Leases(at).current,
    }
    missing = [name for name, read in reads.items() if _is_missing(read)]
    if missing:
        return Step("tables", "failed", f"DynamoDB has no {', '.join(missing)}", _SUBMIT)
    return Step("tables", "ok", f"all {len(reads)} tables of DynamoDB can be read")


def _is_missing(read: Callable[[], object]) -> bool:
    try:
        read()
    except MissingError:
        return True
    return False


def lake(settings: Settings) -> Step:
    """Whether the catalog has every table of the ingest job, in not too many files. Raises StoreError."""
    lake = Lake(settings.lake_address)
    found: dict[str, Totals] = {}
    for table in TABLES:
        try:
            found[table] = lake.totals(table)
        except StoreError as error:
            if "does not exist" not in str(error):
                raise
    if missing := [table for table in TABLES if table not in found]:
        fix = f"if they were there before, look at lake.catalog_uri; else {_SUBMIT}"
        return Step("lake", "failed", f"the catalog has no {', '.join(missing)}", fix)
    return files_step(found)


def files_step(found: Mapping[str, Totals]) -> Step:
    """Whether a table of the lake consists of too many small files."""
    words = ", ".join(f"{name} {one.data_files:,}" for name, one in found.items())
    small = {
        name: one
        for name, one in found.items()
        if one.data_files > _MANY_FILES and one.bytes < one.data_files * _SMALL
    }
    if not small:
        return Step("lake", "ok", f"data files: {words}")
    sizes = ", ".join(
        f"{name} has {one.data_files:,} files of {one.bytes / one.data_files / _MIB:.2f} MiB on average"
        for name, one in small.items()
    )
    return Step("lake", "warning", sizes, "amplitude-bridge maintain --yes")
