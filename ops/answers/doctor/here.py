"""This machine: its Python, its clock against others, its disks."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ops.answers.connection import summary, tables
from ops.answers.steps import State, Step
from settings import Settings
from stores.errors import StoreError
from stores.flink import Flink
from stores.leases import Leases

_CLOCKS: Final = (timedelta(seconds=5), timedelta(minutes=1))
"""Above the first records get wrong hours in what people read; AWS refuses requests that are 5 minutes off."""
_FREE: Final = (0.1, 0.03)


def flink_here() -> str:
    """The version of Flink that this machine submits for."""
    return metadata.version("apache-flink")


def python() -> Step:
    """The Python of this machine, and the versions it has of the product and of Flink."""
    ours, running = metadata.metadata("notifly-amplitude"), ".".join(map(str, sys.version_info[:3]))
    words = f"Python {running}, notifly-amplitude {ours['Version']}, apache-flink {flink_here()}"
    if sys.version_info[:2] != (3, 11):
        return Step("python", "failed", words, f"run it with Python {ours['Requires-Python']}")
    return Step("python", "ok", f"{words}, on this machine")


def clocks(settings: Settings, flink: Flink) -> Step:
    """How far other clocks are from this machine's; those that do not answer are left out."""

    def of_job() -> datetime:
        held, _ = Leases(tables(settings)).current()
        if held is None:
            msg = "no job, whose JobManager would tell"
            raise StoreError(msg)
        return flink.job(held.job_id).now

    clocks: dict[str, Callable[[], datetime]] = {
        "DynamoDB": lambda: Leases(tables(settings)).current()[1],
        "Kinesis": lambda: summary(settings).now,
        "Flink": of_job,
    }
    return clocks_step({name: off for name, ask in clocks.items() if (off := _offset(ask)) is not None})


def _offset(ask: Callable[[], datetime]) -> timedelta | None:
    """How far a clock is from this machine's; AWS tells whole seconds, so less than one says nothing."""
    before = datetime.now(UTC)
    try:
        theirs = ask()
    except StoreError:
        return None
    after = datetime.now(UTC)
    if before - timedelta(seconds=1) <= theirs <= after:
        return timedelta()
    return theirs - after if theirs > after else theirs - before


def clocks_step(offsets: Mapping[str, timedelta]) -> Step:
    """Whether the clocks agree."""
    if not offsets:
        return Step("clocks", "not checked", "no other clock can be asked")
    words = ", ".join(f"{name} {one.total_seconds():+.1f} s" for name, one in offsets.items())
    worst = max(map(abs, offsets.values()))
    state: State = "ok" if worst <= _CLOCKS[0] else "warning" if worst <= _CLOCKS[1] else "failed"
    fix = "" if state == "ok" else "set this machine's clock by NTP, or theirs where all the others agree"
    return Step("clocks", state, f"against this machine's: {words}", fix)


def disk(settings: Settings) -> Step:
    """How much room there is, as far as the settings name places on this machine."""
    places = [Path(tempfile.gettempdir())]
    uri, warehouse = urlsplit(settings.lake.catalog_uri), urlsplit(settings.lake.warehouse)
    if uri.scheme == "sqlite":
        places.append(Path(uri.path.replace("//", "/")).parent)
    if warehouse.scheme == "file":
        places.append(Path(warehouse.path))
    return disk_step({str(one): shutil.disk_usage(one)[::2] for one in places if one.exists()})


def disk_step(found: Mapping[str, tuple[int, int]]) -> Step:
    """Whether there is room, by path: bytes in all, and free."""
    free_of = (f"{path} {free / 2**30:.1f} GiB ({free / total:.0%})" for path, (total, free) in found.items())
    words = f"free on this machine: {', '.join(free_of)}"
    least = min((free / total for total, free in found.values()), default=1.0)
    state: State = "ok" if least > _FREE[0] else "warning" if least > _FREE[1] else "failed"
    fix = "" if state == "ok" else 'docs/operations.md, "A disk is full"'
    return Step("disk", state, words, fix)
