"""What grows while a job runs on: memory by process, state in checkpoints, records waiting."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from lab.bench import figures
from lab.bench.figures import Figure
from lab.bench.processes import resident_mb
from lab.stack.local import Stack

Sample = dict[str, Any]
"""at (s of the feed), put, read (records), restarts, rss_mb by process, checkpoints since the last sample."""


def memory(stack: Stack) -> dict[str, float]:
    """Resident MB of every process by its name, of a Python worker with its id."""
    found = {}
    for name, pid in (stack.pids() | {f"Python worker {pid}": pid for pid in stack.workers()}).items():
        with suppress(OSError):
            worker = b"fn_execution" in Path(f"/proc/{pid}/cmdline").read_bytes()  # else a shell around one
            if (worker or pid in stack.pids().values()) and (mb := resident_mb(pid)) is not None:
                found[name] = mb
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By least squares, per hour, of values by seconds; nan of fewer than two."""
    return linear_regression(*zip(*points, strict=True)).slope * 3600 if len(points) > 1 else float("nan")


def grown(samples: Sequence[Sample], window: float) -> list[Figure]:
    """What became of memory, state, checkpoints and lag; the window in seconds."""
    done = [(sample["at"], one) for sample in samples for one in sample["checkpoints"]]
    state = [(at, one["state_size"] / 1e6) for at, one in done]
    mb = {"state in a checkpoint": (state, window, window)} if done else {}
    for name in samples[-1]["rss_mb"]:
        points = [(one["at"], one["rss_mb"][name]) for one in samples if name in one["rss_mb"]]
        mb[f"memory of {name}"] = (points, 600, samples[-1]["at"] / 4)
    found = []
    for name, (points, first, since) in mb.items():
        early = next((value for at, value in points if at >= first), float("nan"))
        peak = max(value for _, value in points)
        values = {f"after {first / 60:g} min": early, "at the end": points[-1][1], "peak": peak}
        late = {f"slope after {since / 60:.3g} min": slope([point for point in points if point[0] >= since])}
        found += figures.of(name, values, "MB") + figures.of(name, late, "MB/h")
    seconds = [one["end_to_end_duration"] / 1000 for _, one in done] or [float("nan")]
    lag = [one["put"] - one["read"] for one in samples]
    found += figures.of("duration of a checkpoint", {"p50": median(seconds), "max": max(seconds)}, "s")
    return found + figures.of("records waiting", {"p50": median(lag), "max": max(lag)})
