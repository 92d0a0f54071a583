"""Tables of many columns in 80 characters: what is to be copied stays whole, and nothing is cut off."""

from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.table import Table

from ops.answers.archived import Comparison, Hour
from ops.cli import backfill, destinations, ledger, maintain
from ops.cli.terminal import wide
from ops.maintenance.keep import Upkeep
from stores.care import Care
from stores.destinations import Destination
from stores.files import Files
from udfs.model import Kind, Reason

PROJECT = 100_011_471


def shown(table: Table) -> list[str]:
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in "".join(lines).replace("…cdef", "")
    return [" ".join(line.split()) for line in lines]


def test_a_backfill_of_millions_by_the_hour() -> None:
    hour = Hour()
    hour.outcomes.update({"stored": 1_234_567, "copy": 234_567, "rejected": 12_345, "erased": 1_234, "missing": 9})
    found = Comparison()
    found.hours[datetime(2026, 3, 15, 9, tzinfo=UTC)] = hour
    assert shown(backfill._table(found, "to be put"))[1:4:2] == [
        "hour (UTC) amplitude stored duplicates rejected erased to be put",
        "2026-03-15 09:00 1,482,722 1,234,567 234,567 12,345 1,234 9",
    ]


def test_every_kind_and_reason_of_the_ledger() -> None:
    kinds, reasons = max(map(str, Kind), key=len), max(map(str, Reason), key=len)
    row = {"project_id": PROJECT, "kind": kinds, "reason": reasons, "records": 123_456}
    row |= {"first_copies": 12_345, "erased": 9}
    lines = shown(ledger._counts_table([row]))
    assert lines[-1] == f"{PROJECT} {kinds} {reasons} 123,456 12,345 111,111 9"


def test_files_before_and_after_of_the_table_with_the_longest_name() -> None:
    before, after = Files(10_432, 9_231, 0, 0, 128, 1_440), Files(312, 0, 0, 0, 2, 20)
    care = Care("export_dead_letters", ("compact",), "arrival", "", 0, 20, 0)
    one = Upkeep("export_dead_letters", before, 1_420, 17, {"keep-1": 1}, care, 0, 0, (), after)
    said = " ".join(shown(maintain._table([one])))
    for words in ("export_dead_letters", "manifests", "snapshots", "orphans", "128 → 2", "17 → 0", "1,420"):
        assert words in said


def test_a_destination_with_a_long_word_of_why() -> None:
    why = "the customer migrates to another organisation in the EU this week"
    since = "2026-11-28T03:46:22.123+00:00"
    one = Destination(PROJECT, "us", b"", "cdef", "auth_error", since, why)
    lines = shown(destinations._table([one]))
    assert lines[2] == f"{PROJECT} us …cdef auth_error 2026-11-28 03:46 the customer migrates to"
    assert " ".join(lines).endswith("organisation in the EU this week")


@pytest.mark.parametrize("text", ["x" * 200])
def test_a_word_that_is_too_long_goes_on_below(text: str) -> None:
    table = wide(["project"], texts=["why"])
    table.add_row("1", text)
    assert "".join(shown(table)[2:]).replace(" ", "") == f"1{text}"
