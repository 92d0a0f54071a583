"""The sample's truth, tallied while it was made, equals what the oracle finds in its bytes."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import islice

import pytest

from bench.events import events
from ops.sample import PROJECTS, UNKNOWN_APP, Sample, generate
from tests.builders import ARRIVAL, LEAP_DAY_END, MONTH_START, YEAR_END
from tests.oracle import Expected, expect

REGISTERED = {project.project_id for project in PROJECTS}
REASONS = {
    "empty", "invalid_utf8", "invalid_json", "not_an_object", "duplicate_key", "app_missing", "app_invalid",
    "event_type_missing", "event_type_invalid", "too_deep", "unsupported_kind",
}  # fmt: skip


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate(seed=1, now=ARRIVAL)


@pytest.fixture(scope="module")
def found(sample: Sample) -> Expected:
    return found_in(sample, ARRIVAL)


def found_in(sample: Sample, arrival: datetime) -> Expected:
    return expect(((put.data, arrival) for put in sample.puts), REGISTERED)


def assert_truth_matches(sample: Sample, found: Expected) -> None:
    truth = sample.truth
    distinct = Counter(project_id for project_id, _ in found.events)
    assert truth.received == len(sample.puts)
    assert {project: one.records for project, one in truth.projects.items()} == found.records
    assert {project: one.events for project, one in truth.projects.items()} == distinct
    assert {project: one.duplicates for project, one in truth.projects.items()} == found.records - distinct
    assert truth.usage == found.usage
    assert truth.rejected == found.rejected
    assert truth.quarantined == found.quarantined


def test_truth_of_the_default_size_is_what_the_oracle_finds(sample: Sample, found: Expected) -> None:
    assert sample.truth.received == 3200
    assert_truth_matches(sample, found)


@pytest.mark.parametrize("now", [MONTH_START, LEAP_DAY_END, YEAR_END, ARRIVAL])
@pytest.mark.parametrize("seed", [2, 3])
def test_truth_holds_for_other_seeds_and_at_month_edges(seed: int, now: datetime) -> None:
    other = generate(200, seed, now)
    assert_truth_matches(other, found_in(other, now + timedelta(seconds=5)))


@pytest.mark.parametrize("records", [0, 1, 19, 20])
def test_a_tiny_sample_has_a_truth_too(records: int) -> None:
    tiny = generate(records, now=ARRIVAL)
    assert len(tiny.puts) == records
    assert sum(one.events for one in tiny.truth.projects.values()) == len(found_in(tiny, ARRIVAL).events)


def test_shares_and_variety_are_those_of_the_issue(sample: Sample) -> None:
    truth = sample.truth
    assert sum(one.duplicates for one in truth.projects.values()) == 160
    assert truth.quarantined == {UNKNOWN_APP: 32}
    assert set(truth.rejected) == REASONS
    assert set(truth.usage) == {(project, month) for project in REGISTERED for month in ("2026-02", "2026-03")}


def test_every_rung_is_used_and_tenants_share_ids(found: Expected) -> None:
    assert {identity[0] for _, identity in found.events} == {1, 2, 3, 4}
    tenants = Counter(identity for _, identity in found.events)
    assert sum(count == 2 for count in tenants.values()) >= 5


def test_the_edges_of_the_months_are_in_it(sample: Sample) -> None:
    stamps = b"".join(put.data for put in sample.puts)
    for edge in (b"2026-02-01 00:00:00.000000", b"2026-02-28 23:59:59.999999", b"2026-03-01 00:00:00.000000"):
        assert b'"server_upload_time":"' + edge in stamps


def test_same_seed_and_now_give_the_same_bytes() -> None:
    assert generate(100, 7, ARRIVAL) == generate(100, 7, ARRIVAL)
    assert generate(100, 7, ARRIVAL).puts != generate(100, 8, ARRIVAL).puts


def test_now_defaults_to_the_present() -> None:
    months = {month for _, month in generate(100).truth.usage}
    assert f"{datetime.now(UTC):%Y-%m}" in months
    assert len(months) == 2


def test_a_redelivery_goes_to_the_other_half_of_the_hash_range(sample: Sample) -> None:
    halves: dict[bytes, list[int]] = {}
    for put in sample.puts:
        if b'"uuid":"' in put.data:
            halves.setdefault(put.data, []).append(
                md5(put.partition_key.encode(), usedforsecurity=False).digest()[0] >> 7
            )
    pairs = [found for found in halves.values() if len(found) == 2]
    assert len(pairs) > 50
    assert all(sorted(pair) == [0, 1] for pair in pairs)


def test_benchmark_events_are_valid_and_of_the_size_asked_for() -> None:
    made = list(events(600, seed=1, project_ids=[1, 2]))
    found = expect(((data, ARRIVAL) for data in made), {1, 2})
    assert len(found.events) == 570
    assert found.records[1] == pytest.approx(300, rel=0.15)
    assert sum(map(len, made)) / 600 == pytest.approx(1500, rel=0.1)


def test_benchmark_events_are_deterministic_and_their_share_of_repeats_exact() -> None:
    first, second = (list(islice(events(10**9, 3, [5], duplicate_share=0.5), 200)) for _ in range(2))
    assert first == second
    assert len({json.loads(data)["uuid"] for data in first}) == 100
