"""What the usage commands need no table for."""

import pytest
from click.testing import CliRunner

from ops.cli import commands
from ops.usage_explain import Distinct


def test_distinct_texts_are_counted_across_pieces() -> None:
    distinct = Distinct()
    for _ in range(2):
        distinct.add(f"1|{n}" for n in range(1_000))
    distinct.add(["é", "é", ""])
    assert distinct.count() == 1_002


@pytest.mark.parametrize("month", ["2026-13", "2026-3", "March", "\uff12026-03"])
def test_a_wrong_month_says_what_is_right(month: str) -> None:
    refused = CliRunner().invoke(commands, ["usage", "--config", "no such file", "explain", "434735", month])
    assert refused.exit_code == 2
    assert refused.stderr.endswith(
        f"Error: Invalid value for 'MONTH': '{month}' is no month: write it like 2026-03\n"
    )
