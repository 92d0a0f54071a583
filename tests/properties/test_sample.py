"""The sample's truth, tallied while it was made, equals what the job's rules find in its bytes."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import islice
from typing import Any

import pytest

from lab.bench.events import events
from lab.proofs.soak import REGISTRY
from lab.sample import generator, worst
from lab.sample.generator import ProjectTruth, Sample, Truth, generate
from lab.sample.others import COHORTS, PROJECTS, UNKNOWN_APP
from tests.builders import ARRIVAL, LEAP_DAY_END, MONTH_START, YEAR_END
from tests.compare import link_times
from tests.leaves import leaves
from tests.oracle import expect
from udfs.model import Reason, Repair

REGISTERED = {project.project_id for project in PROJECTS}
# a bug of ours, and a link that has ended: no record of the sample has either
NOT_IN_SAMPLE = {
    *(Reason.INTERNAL_ERROR, Reason.UNLINKED, Reason.FILTERED),
    *(Reason.INTAKE_MAC_INVALID, Reason.APP_MISMATCH, Reason.SCOPE_MISSING),
}


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate(seed=1, now=ARRIVAL)


@pytest.fixture(scope="module")
def found(sample: Sample) -> list[dict[str, Any]]:
    return found_in(sample, ARRIVAL)


def found_in(sample: Sample, arrival: datetime) -> list[dict[str, Any]]:
    """Every row that the rules make of the sample."""
    at = arrival.astimezone(UTC).replace(tzinfo=None)
    return [leaf.columns for put in sample.puts for leaf in leaves(put.data, at, REGISTRY)]


def truth_of(puts: int, found: list[dict[str, Any]], told: Truth) -> Truth:
    """The truth as the rules tell it; of cohorts they tell who sent a message only, the rest is as `told`."""
    copies = [row for row in found if row["kind"] == "event"]
    firsts = {(row["project_id"], row["identity"]): row for row in copies}.values()
    records, distinct = (Counter(row["project_id"] for row in some) for some in (copies, firsts))
    kinds = {kind: [row for row in found if row["kind"] == kind] for kind in ("user_update", "cohort")}
    return Truth(
        received=puts,
        outcomes=len(found),
        projects={
            project: ProjectTruth(records[project], distinct[project], records[project] - distinct[project])
            for project in REGISTERED
        },
        usage=Counter((row["project_id"], row["month"]) for row in firsts),
        dead_letters=Counter((row["kind"], row["reason"]) for row in found if row["reason"]),
        quarantined=Counter(row["project_id"] for row in found if row["reason"] == "unknown_project"),
        update_records=Counter(row["project_id"] for row in kinds["user_update"]),
        user_updates=Counter(
            project_id for project_id, _ in {(row["project_id"], row["identity"]) for row in kinds["user_update"]}
        ),
        profiles=Counter(
            project_id
            for project_id, _ in {
                (row["project_id"], row["user_id"]) for row in kinds["user_update"] if row["to_profile"]
            }
        ),
        cohort_messages=Counter(row["project_id"] for row in kinds["cohort"]),
        cohort_changes=told.cohort_changes,
        members=told.members,
    )


def test_truth_of_the_default_size_is_what_the_rules_find(sample: Sample, found: list[dict[str, Any]]) -> None:
    assert sample.truth.received == 3200
    assert sample.truth == truth_of(len(sample.puts), found, sample.truth)


@pytest.mark.parametrize("now", [MONTH_START, LEAP_DAY_END, YEAR_END, ARRIVAL])
@pytest.mark.parametrize("seed", [2, 3])
def test_truth_holds_for_other_seeds_and_at_month_edges(seed: int, now: datetime) -> None:
    other = generate(400, seed, now)
    assert other.truth == truth_of(400, found_in(other, now + timedelta(seconds=5)), other.truth)


@pytest.mark.parametrize("records", [0, 1, 19, 20, 99, 100])
def test_a_tiny_sample_has_a_truth_too(records: int) -> None:
    tiny = generate(records, now=ARRIVAL)
    assert len(tiny.puts) == records
    assert tiny.truth == truth_of(records, found_in(tiny, ARRIVAL), tiny.truth)


def test_shares_and_variety_are_those_of_the_issue(sample: Sample) -> None:
    truth = sample.truth
    assert sum(one.duplicates for one in truth.projects.values()) >= 160
    assert truth.quarantined == {UNKNOWN_APP: 32}
    assert {reason for _, reason in truth.dead_letters} == set(Reason) - NOT_IN_SAMPLE
    assert set(truth.usage) == {(project, month) for project in REGISTERED for month in ("2026-02", "2026-03")}
    assert truth.user_updates.keys() == REGISTERED
    assert truth.cohort_messages.keys() == REGISTERED
    assert truth.outcomes - truth.received > 64


def test_every_rung_is_used_and_tenants_share_ids(found: list[dict[str, Any]]) -> None:
    assert {row["identity_rung"] for row in found} == {None, 1, 2, 3, 4}
    tenants = Counter(
        identity for _, identity in {(r["project_id"], r["identity"]) for r in found if r["identity"]}
    )
    assert sum(count == 2 for count in tenants.values()) >= 5


def test_the_repairs_of_what_senders_really_send_are_in_it(found: list[dict[str, Any]]) -> None:
    repairs = {Repair.named(repair) for row in found if row["repairs"] for repair in row["repairs"].split()}
    assert repairs >= {"bom_removed", "nan_to_null", "surrogate_replaced", "sentinel_id"}


def test_the_edges_of_the_months_are_in_it(found: list[dict[str, Any]]) -> None:
    edges = ("2026-02-01 00:00:00", "2026-02-28 23:59:59.999999", "2026-03-01 00:00:00")
    assert {row["server_upload_time"] for row in found} >= set(map(datetime.fromisoformat, edges))


def lags(found: list[dict[str, Any]]) -> list[timedelta]:
    """How long before it arrived each event was uploaded, of those that say so in one record."""
    uploads = (row["server_upload_time"] for row in found if row["kind"] == "event" and row["server_upload_time"])
    return sorted(ARRIVAL.replace(tzinfo=None) - uploaded for uploaded in uploads)


def test_the_sample_ends_now_and_most_of_it_was_uploaded_in_the_last_minute(found: list[dict[str, Any]]) -> None:
    told = lags(found)
    assert timedelta(0) <= told[0] < timedelta(seconds=1)
    assert told[len(told) * 95 // 100] < timedelta(minutes=1)
    assert told[-1] > timedelta(days=40)
    assert lags(found_in(generate(400, now=ARRIVAL, spread=True), ARRIVAL))[200] > timedelta(days=5)


def test_same_seed_and_now_give_the_same_bytes() -> None:
    assert generate(100, 7, ARRIVAL) == generate(100, 7, ARRIVAL)
    assert generate(100, 7, ARRIVAL).puts != generate(100, 8, ARRIVAL).puts


def test_now_defaults_to_the_present() -> None:
    months = {month for _, month in generate(100).truth.usage}
    assert f"{datetime.now(UTC):%Y-%m}" in months
    assert len(months) == 2


def test_a_redelivery_goes_to_the_other_half_of_the_hash_range(sample: Sample) -> None:
    keys: dict[bytes, list[str]] = {}
    for put in sample.puts:
        keys.setdefault(put.data, []).append(put.partition_key)
    # the first delivery of an event that has a device goes by its device
    twice = [(data, pair) for data, pair in keys.items() if len(pair) == 2 and data.startswith(b"{")]
    pairs = [pair for data, pair in twice if any(key.encode() in data for key in pair)]
    assert len(pairs) > 50
    assert all({half(first), half(second)} == {0, 1} for first, second in pairs)


def half(key: str) -> int:
    """Which half of the hash range a partition key belongs to."""
    return md5(key.encode(), usedforsecurity=False).digest()[0] >> 7


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


def test_the_sample_means_what_its_maker_says() -> None:
    made = generate(800, seed=4, now=ARRIVAL)
    found = expect(((put.data, ARRIVAL) for put in made.puts), link_times(PROJECTS, COHORTS))
    truth = made.truth
    assert found.outcomes == truth.outcomes
    assert {project: one.records for project, one in truth.projects.items()} == found.records
    assert found.usage == truth.usage
    assert found.dead_letters == Counter(truth.dead_letters)
    assert found.quarantined == truth.quarantined
    assert (found.update_records, found.user_updates) == (truth.update_records, truth.user_updates)
    assert found.cohorts == truth.cohort_messages


def test_no_update_has_the_uuid_of_another_record_of_the_sample() -> None:
    plain = generator.generate(600, seed=9902)
    own = [put for put in worst.beside(plain, 300, seed=9902).sample.puts if put not in plain.puts]
    uuids = {json.loads(put.data)["uuid"].encode() for put in own}
    assert len(uuids) == 301
    others = b"\n".join(put.data for put in plain.puts)
    assert not [one for one in uuids if one in others]
