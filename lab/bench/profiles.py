"""Amplitude's profiles at 1 000 look-ups a second: `python -m lab.bench profiles`, 75 s.

50 projects of as many organisations have 1 000 users each. Who is looked up is drawn by Zipf's law within a
project, the projects in turn. The stand-in of Amplitude is a process on the same cores, and answers 50 ms after it
was asked. The clock of a look-up runs from the time at which it is due, so that one that is late is seen. Each has
0.2 s. For a second feed the client's clock is set ahead until all answers of the first are old; Amplitude fails.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from errors import OneLineError
from lab.bench.figures import Figure, Say
from lab.stack.amplitude.process import running
from stores.amplitude.profiles import THREADS, Limits, Profiles, Source
from stores.amplitude.user_profile import User, UserProfileApi

RATE = 1_000  # look-ups/s
SECONDS = 60
PROJECTS = range(800_000, 800_050)
USERS = 1_000  # of each project
DEADLINE = 0.2
AWAY_SECONDS = 10


class Ended(NamedTuple):
    """How a look-up has ended."""

    seconds: float
    way: str
    """`cached`, `old`, `asked` or `failed`"""


class _Clock:
    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def measure(say: Say) -> list[Figure]:
    """Two feeds, the second while Amplitude fails."""
    with TemporaryDirectory() as folder, running(Path(folder) / "amplitude") as url:
        _tell(Path(folder) / "amplitude")
        ask, limits, clock = UserProfileApi(url, 5, THREADS), Limits(fresh_seconds=SECONDS), _Clock()
        of = Profiles(lambda project: Source(f"key{project}", f"{project}"), ask, limits, clock)
        say(f"{RATE} look-ups/s for {SECONDS} s, then {AWAY_SECONDS} s while Amplitude fails")
        try:
            return asyncio.run(_both(of, clock, Path(folder) / "amplitude" / "faults"))
        finally:
            of.close()


async def _both(of: Profiles, clock: "_Clock", faults: Path) -> list[Figure]:
    users = _users()
    begin = time.monotonic()
    there = await _feed(of, users, RATE * SECONDS)
    took = time.monotonic() - begin
    asked = of.counts["asked"]
    faults.write_text("500 1", encoding="ascii")
    clock.ahead = SECONDS
    away = await _feed(of, users, RATE * AWAY_SECONDS)
    return [
        Figure("profiles", "look-ups", len(there) / took, "/s"),
        Figure("profiles", "requests to Amplitude", asked / took, "/s"),
        *_figures("profiles", there),
        *_figures("profiles, Amplitude fails", away),
    ]


def _tell(folder: Path) -> None:
    profile = {"amp_props": {"city": "Seoul", "orders": 12}, "cohort_ids": ["gs72ns"]}
    (folder / "profiles.json").write_text(
        json.dumps({f"user-{n}": profile for n in range(USERS)}), encoding="utf-8"
    )
    (folder / "secrets").write_text("".join(f"key{one} {one}\n" for one in PROJECTS), encoding="ascii")
    (folder / "faults").write_text("slow=0.05 1", encoding="ascii")


def _users() -> Iterator[tuple[int, User]]:
    """Whom to look up, without end."""
    weights = 1 / np.arange(1, USERS + 1)
    random = np.random.default_rng(1)
    while True:
        drawn = random.choice(USERS, len(PROJECTS), p=weights / weights.sum())
        yield from ((project, User(f"user-{n}")) for project, n in zip(PROJECTS, drawn, strict=True))


async def _feed(of: Profiles, users: Iterator[tuple[int, User]], many: int) -> list[Ended]:
    begin, tasks = time.monotonic(), list[asyncio.Task[Ended]]()
    while len(tasks) < many:
        due = min(many, int((time.monotonic() - begin) * RATE))
        for number in range(len(tasks), due):
            look = _look_up(of, *next(users), begin + number / RATE)
            tasks.append(asyncio.create_task(look))
        await asyncio.sleep(0.001)
    return await asyncio.gather(*tasks)


async def _look_up(of: Profiles, project: int, user: User, due: float) -> Ended:
    try:
        found = await of.get(project, user, deadline=DEADLINE)
    except OneLineError:
        return Ended(time.monotonic() - due, "failed")
    way = "asked" if found.age == 0 else "cached" if found.age < SECONDS else "old"
    return Ended(time.monotonic() - due, way)


def _figures(name: str, ended: list[Ended]) -> Iterator[Figure]:
    for way in ("cached", "old", "asked", "failed"):
        yield Figure(name, way, 100 * sum(one.way == way for one in ended) / len(ended), "% of look-ups")
    for what, of in (("of all", ended), ("of those asked", [one for one in ended if one.way == "asked"])):
        if len(of) > 1:
            cuts = quantiles([one.seconds * 1000 for one in of], n=100)
            yield from (Figure(name, f"p50 {what}", cuts[49], "ms"), Figure(name, f"p99 {what}", cuts[98], "ms"))
