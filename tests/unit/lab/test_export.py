"""What `python -m lab.bench.export` and `export_worst` feed, and how they judge what came of it."""

from datetime import UTC, datetime

import msgspec
import numpy as np

from lab.bench.export import accepted, event, speed
from lab.bench.export_worst import Phase, phases
from stores.project import linked
from stores.routes import Route
from udfs.export.render import Kind, render


def test_events_are_those_of_the_shop_and_have_their_number() -> None:
    routes = {"shop-0": [Route(1_001, linked(1_001, "shop-0").links, {})]}
    rows = [render(event(n, "shop-0").strip(), datetime.now(UTC).replace(tzinfo=None), routes) for n in (0, 10**9)]
    assert [(row.kind, row.event_id, row.project_ids) for row in rows] == [
        (Kind.DUE, "0", [1_001]),
        (Kind.DUE, "1000000000", [1_001]),
    ]
    assert 450 < len(msgspec.json.decode(rows[0].events[0], type=msgspec.Raw)) < 550


def test_a_blast_lasts_until_all_of_it_is_put_and_a_host_hangs_for_its_time() -> None:
    assert list(phases(("blast", "hang"), 180, 1_000_000, (4_000, 5_000))) == [
        Phase("warm-up", 4_000, 40),
        Phase("nothing", 10, 50),
        Phase("blast", 4_000, 250),
        Phase("pause", 10, 10),
        Phase("blast", 5_000, 200),
        Phase("pause", 10, 10),
        Phase("hang", 100, 180),
        Phase("pause", 10, 10),
        Phase("nothing", 10, 50),
    ]


def test_the_answers_must_all_be_a_yes_and_as_many_as_were_put() -> None:
    found = {"outcome": np.array(["accepted", "accepted", "waiting"])}
    assert accepted(found, 3) == "WRONG: 2 of 3 accepted"
    assert accepted({"outcome": found["outcome"][:2]}, 3) == "WRONG: 2 of 3 accepted"
    assert accepted({"outcome": found["outcome"][:2]}, 2) == "ok"
    assert speed(np.array([10.0, 10.5, 12.0])) == 1.5
