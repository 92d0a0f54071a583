"""What the job makes of records of the stream, part by part, and what of it may be shown."""

import gzip
from typing import Any

from ops.answers.judged import SAMPLE, Judged, judged
from stores.project import linked
from stores.rules import rules_of
from stores.stream import Record
from tests.builders import ARRIVAL, OTHER_PROJECT, PROJECT, UNKNOWN_PROJECT, cohort, encode, event, user_update
from tests.cases import each
from tests.intake import KEYS, enclosed
from tests.kpl import aggregate_of
from udfs.kpl import ALL_HASHES

SHOP = linked(PROJECT, "shop")
RULED = linked(OTHER_PROJECT, "ruled")._replace(
    rules=rules_of({"field_rules": {"ip_address": "drop"}, "event_filters": [{"event": "Noise"}]})
)
REGISTRY: dict[int | str, Any] = {PROJECT: SHOP, OTHER_PROJECT: RULED, cohort()["cohort_id"]: SHOP}
PLAY = encode(event())
MADE_UP = aggregate_of(["k0"], [(0, None, PLAY), (0, 0, PLAY)], ["undefined"])


def of(data: bytes) -> list[Judged]:
    return list(judged(Record("shard", "7", ARRIVAL, data, ALL_HASHES), REGISTRY, KEYS))


@each(
    ("data", "found"),
    [
        (PLAY, ("event", None, PROJECT, "amplitude__Play Song")),
        (encode(user_update()), ("user_update", None, PROJECT, "$identify")),
        (encode(cohort()), ("cohort", None, PROJECT, None)),
        (encode(event(app=UNKNOWN_PROJECT)), ("quarantined", "unknown_project", None, "amplitude__Play Song")),
        (b'{"a":', ("rejected", "invalid_json", None, None)),
        (
            encode(event(app=OTHER_PROJECT, event_type="Noise")),
            ("filtered", "filtered", OTHER_PROJECT, "amplitude__Noise"),
        ),
    ],
)
def test_a_record_is_what_the_jobs_rules_make_of_it(data: bytes, found: tuple[object, ...]) -> None:
    (one,) = of(data)
    assert (one.kind, one.reason, one.project_id, one.name) == found
    assert (one.handle, one.size, one.arrival) == ("shard:7", len(data), ARRIVAL)


def test_parts_are_told_of_by_themselves() -> None:
    parts = of(gzip.compress(PLAY + b"\n{"))
    assert [(one.handle, one.kind, one.reason) for one in parts] == [
        ("shard:7:0", "event", None),
        ("shard:7:1", "rejected", "invalid_json"),
    ]
    (brought,) = of(enclosed(PROJECT, encode(event(app=OTHER_PROJECT))))
    assert (brought.reason, brought.project_id) == ("app_mismatch", PROJECT)
    taken, dropped = of(MADE_UP)
    assert (taken.kind, taken.sub_index, dropped.kind, dropped.project_id) == ("event", None, "dropped", PROJECT)
    assert dropped.detail == "record 1 names no partition key or hash key that is there"


def test_of_an_envelope_with_many_parts_the_first_are_told_of() -> None:
    assert len(of(gzip.compress((PLAY + b"\n") * 300))) == 200


def test_what_may_not_be_kept_is_not_shown() -> None:
    assert of(PLAY)[0].sample == PLAY
    assert of(encode(event(big="x" * 9_000)))[0].sample == encode(event(big="x" * 9_000))[:SAMPLE]
    assert of(encode(event(app=OTHER_PROJECT)))[0].sample is None
    assert of(encode(event(app=OTHER_PROJECT, event_type="Noise")))[0].sample is None
