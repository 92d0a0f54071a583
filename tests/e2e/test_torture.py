"""A slice of `make torture`: two runs with faults that nothing else here has; the scoreboard has many."""

from collections.abc import Iterator

import pytest

from ops import torture
from ops.local import Stack
from ops.machine import Ports


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-torture", Ports.free(), flink_options=torture.OPTIONS) as running:
        yield running


@pytest.mark.parametrize(
    ("seed", "faults"),
    [
        (1, ["Python workers killed", "DynamoDB down", "shards merged"]),
        (2, ["TaskManager killed after a checkpoint", "stopped with savepoint"]),
    ],
)
def test_nothing_is_missing_extra_or_unexplained(stack: Stack, seed: int, faults: list[str]) -> None:
    line = torture.torture(stack, seed, faults)
    assert sorted(line.faults) == sorted(faults)
    assert (line.missing, line.extra, line.residual, line.trouble) == (0, 0, 0, "")
    assert line.records > torture.RECORDS
