"""One record into one row with a named outcome, alone and as the operator over a batch."""

import gc
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyflink.table.types import to_arrow_type
from pyflink.table.utils import pandas_to_arrow

from jobs.columns import row_type
from stores.project import linked
from tests.builders import (
    ARRIVAL,
    EVENT_A,
    EVENT_B,
    EVENT_C,
    MISSING,
    MONTH_END,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    UUID,
    encode,
    event,
    user_update,
)
from tests.cases import each
from tests.intake import KEYS, enclosed
from udfs import envelope, identity, parse
from udfs.attribute import Registry
from udfs.classify import USER_UPDATE_TYPES
from udfs.decode import dead_letter, decode
from udfs.functions import Decode, DecodePart, Open
from udfs.model import DECODED, Kind, Reason, Rejection, Repair

REGISTRY: Registry = {
    PROJECT: linked(PROJECT, "acme"),
    OTHER_PROJECT: linked(OTHER_PROJECT, "globex"),
    203138: linked(203138, "initech"),
}
WITHOUT_UNKNOWN: Registry = {PROJECT: REGISTRY[PROJECT], OTHER_PROJECT: REGISTRY[OTHER_PROJECT]}


def decoded(payload: bytes, registry: Registry = WITHOUT_UNKNOWN) -> dict[str, Any]:
    return dict(zip(DECODED, decode(payload, ARRIVAL.replace(tzinfo=None), registry), strict=True))


@each(
    ("record", "owner", "month"),
    [(EVENT_A, "globex", "2025-07"), (EVENT_B, "initech", "2020-11"), (EVENT_C, "acme", "2023-08")],
    ids=["web 2025", "segment 2020", "import 2023"],
)
def test_public_records_are_events(record: dict[str, Any], owner: str, month: str) -> None:
    row = decoded(encode(record), REGISTRY)
    assert (row["kind"], row["reason"], row["detail"]) == ("event", None, None)
    assert (row["project_id"], row["notifly_project"], row["month"]) == (record["app"], owner, month)
    assert row["name"] == f"amplitude__{record['event_type']}"
    assert (row["uuid"], row["amplitude_id"]) == (record["uuid"], record["amplitude_id"])
    for name in ("event_properties", "user_properties", "groups", "group_properties", "data"):
        assert json.loads(row[name]) == record[name]


def test_an_app_in_digits_is_the_same_project() -> None:
    assert decoded(encode(event(app=str(PROJECT)))) == decoded(encode(event()))


def test_an_unknown_project_is_quarantined_with_its_id_and_nothing_else() -> None:
    row = decoded(encode(event(app=UNKNOWN_PROJECT)))
    assert {name: value for name, value in row.items() if value is not None} == {
        "kind": "quarantined",
        "reason": "unknown_project",
        "detail": "no project has registered app 203138",
        "payload": encode(event(app=UNKNOWN_PROJECT)),
        "payload_length": len(encode(event(app=UNKNOWN_PROJECT))),
        "project_id": UNKNOWN_PROJECT,
        "name": "amplitude__Play Song",
    }


@each("event_type", sorted(USER_UPDATE_TYPES))
def test_a_user_update_has_the_columns_of_an_event_and_its_own_name(event_type: str) -> None:
    row = decoded(encode(event(event_type=event_type)))
    known = identity.by_uuid(UUID, event_type)
    assert row == decoded(encode(event())) | {
        "kind": "user_update",
        "name": event_type,
        "identity": known.text,
        "identity_hash": known.hash,
        "to_profile": event_type != "$groupidentify",
    }


@each(
    ("changes", "rung"),
    [
        ({}, 1),
        ({"uuid": None, "$insert_id": "i"}, 2),
        ({"uuid": None, "$insert_id": "i", "device_id": None}, 2),
        ({"uuid": None, "$insert_id": "i", "device_id": None, "user_id": None}, 4),
        ({"uuid": None, "event_id": 7, "client_event_time": "2026-03-15 09:30:28.583000"}, 4),
    ],
)
def test_only_ids_of_its_own_tell_a_user_update_from_an_equal_one(changes: dict[str, Any], rung: int) -> None:
    assert decoded(encode(user_update(**changes)))["identity_rung"] == rung


@each(
    ("record", "name"),
    [
        ({"user_id": "u", "user_properties": {"plan": "pro"}}, "$identify"),
        (
            {"group_type": "company", "group_value": "a", "group_properties": {"$set": {"seats": 7}}},
            "$groupidentify",
        ),
    ],
)
def test_the_identify_apis_have_no_names(record: dict[str, Any], name: str) -> None:
    row = decoded(encode({"app": PROJECT, **record}))
    assert (row["kind"], row["name"], row["user_id"]) == ("user_update", name, record.get("user_id"))
    assert json.loads(row["user_properties"]) == record.get("user_properties", {})


def test_an_app_inside_the_properties_does_not_count() -> None:
    row = decoded(encode(event(app=MISSING, event_properties={"app": PROJECT}, data={"app": PROJECT})))
    assert (row["kind"], row["reason"], row["project_id"]) == ("rejected", "app_missing", None)


def test_a_month_edge_in_a_whole_record() -> None:
    late = decode(encode(event(server_upload_time=None)), MONTH_END.replace(tzinfo=None), WITHOUT_UNKNOWN)
    assert late[list(DECODED).index("month")] == "2026-03"


class Metrics:
    """A metric group that remembers, and stands in for the function context that hands it out."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.names: list[str] = []
        self.gauges: dict[str, Callable[[], int]] = {}

    def get_metric_group(self) -> "Metrics":
        return self

    def counter(self, name: str) -> "Count":
        self.names.append(name)
        return Count(self.counts, name)

    def gauge(self, name: str, value: Callable[[], int]) -> None:
        self.gauges[name] = value


class Count:
    """One counter of the group."""

    def __init__(self, counts: Counter[str], name: str) -> None:
        self.counts, self.name = counts, name

    def inc(self, n: int = 1) -> None:
        self.counts[self.name] += n


class Copies:
    """A live registry that gives these copies, one a call, the last one for ever."""

    def __init__(self, *copies: Registry, age_seconds: float = 0.0) -> None:
        self.copies, self.age_seconds = list(copies), age_seconds

    def __call__(self) -> Registry:
        return self.copies.pop(0) if len(self.copies) > 1 else self.copies[0]


def opened(metrics: Metrics, kind: type[Decode] = Decode, gap_shards: int = 0) -> Any:
    operator = kind(lambda: Copies(WITHOUT_UNKNOWN, age_seconds=12.9), gap_shards)
    operator.open(metrics)
    return operator


def batch(*payloads: bytes) -> "tuple[pd.Series[Any], pd.Series[Any]]":
    arrival = pd.Series([ARRIVAL] * len(payloads), dtype="datetime64[us, UTC]")
    return pd.Series(payloads, dtype=object), arrival


def rows(series: "pd.Series[Any]") -> list[tuple[Any, ...]]:
    """What leaves the worker: the Series through PyFlink's own conversion for the declared type."""
    schema = pa.schema([("row", to_arrow_type(row_type(DECODED)))])
    found = pandas_to_arrow(schema, "UTC", [None], [series])["row"]
    assert found.type.names == list(DECODED)
    return [tuple(row.values()) for row in found.to_pylist()]


def test_a_batch_leaves_the_worker_as_the_same_rows() -> None:
    payloads = (encode(event()), b"", encode(event(app=UNKNOWN_PROJECT)), encode(event(user_id=None)))
    assert rows(opened(Metrics()).eval(*batch(*payloads))) == [
        decode(payload, ARRIVAL.replace(tzinfo=None), WITHOUT_UNKNOWN) for payload in payloads
    ]


def test_the_first_and_the_last_instant_survive_a_batch() -> None:
    times = ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999")
    found = rows(opened(Metrics()).eval(*batch(*(encode(event(event_time=time)) for time in times))))
    at = list(DECODED).index("event_time")
    assert [row[at] for row in found] == [datetime.fromisoformat(time) for time in times]


def test_an_empty_batch_leaves_the_worker_empty() -> None:
    assert rows(opened(Metrics()).eval(*batch())) == []


def test_an_arrival_without_a_zone_is_utc() -> None:
    payload, arrival = batch(encode(event(server_upload_time=None)))
    naive = arrival.dt.tz_localize(None)
    assert rows(opened(Metrics()).eval(payload, naive)) == rows(opened(Metrics()).eval(payload, arrival))


def test_outcomes_are_counted_by_kind_and_by_reason() -> None:
    metrics = Metrics()
    operator = opened(metrics)
    operator.eval(*batch(encode(event()), encode(event()), b"", b"", b"1"))
    operator.eval(*batch(encode(event(app=UNKNOWN_PROJECT)), b""))
    assert +metrics.counts == {
        "event": 2,
        "rejected": 4,
        "quarantined": 1,
        "empty_records": 3,
        "not_an_object_records": 1,
        "unknown_project_records": 1,
    }


def test_repairs_are_counted_one_by_one() -> None:
    metrics = Metrics()
    mended = {"user_id": "null", "device_id": "nil", "event_id": "x"}
    opened(metrics).eval(*batch(encode(event(**mended)), encode(event(user_id="none"))))
    assert +metrics.counts == {"event": 2, "sentinel_id_repairs": 2, "wrong_type_repairs": 1}


def test_the_garbage_collector_rests_while_a_batch_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = []

    def decode(*_: Any) -> Any:
        at_work.append(gc.isenabled())
        raise MemoryError

    monkeypatch.setattr("udfs.functions.decode", decode)
    with pytest.raises(MemoryError):
        opened(Metrics()).eval(*batch(b"x"))
    assert (at_work, gc.isenabled()) == ([False], True)


def test_every_outcome_is_counted_from_the_first_batch_on() -> None:
    metrics = Metrics()
    operator = opened(metrics)
    reasons, repairs = [f"{reason}_records" for reason in Reason], [f"{repair}_repairs" for repair in Repair]
    assert metrics.names == [*Kind, *reasons, *repairs]
    operator.eval(*batch())
    assert metrics.counts == dict.fromkeys(metrics.names, 0)


def test_how_old_the_registry_is_and_whether_records_had_expired() -> None:
    metrics = Metrics()
    opened(metrics, gap_shards=3)
    found = {name: value() for name, value in metrics.gauges.items()}
    assert found == {"registry_age_seconds": 12, "gap_shards": 3}


def test_parts_are_decoded_and_faults_become_dead_letters() -> None:
    part, whole = encode(event()), b"the whole envelope"
    payload, arrival = batch(part, whole, b"[]", part, part)
    told = [
        pd.Series(column, dtype=object)
        for column in (
            [None, "gzip_invalid", *[None] * 3],
            [None, "cut", *[None] * 3],
            [*[None] * 3, "7", str(PROJECT)],
            [*[None] * 4, "cohorts"],
        )
    ]
    found = rows(opened(Metrics(), DecodePart).eval(payload, arrival, *told))
    assert found == [
        decode(part, ARRIVAL.replace(tzinfo=None), WITHOUT_UNKNOWN),
        dead_letter(Rejection(Reason.GZIP_INVALID, "cut"), whole),
        dead_letter(Rejection(Reason.NOT_AN_OBJECT, "starts with '[]'"), b"[]"),
        dead_letter(
            Rejection(Reason.APP_MISMATCH, f"app is {PROJECT}, the access key is one of project 7"), part, 7
        ),
        dead_letter(
            Rejection(Reason.SCOPE_MISSING, "a record for events, the access key is for cohorts alone"),
            part,
            PROJECT,
            f"amplitude__{event()['event_type']}",
        ),
    ]


NOTHING = (None,) * 5
"""Of a part without a fault that no request has brought."""


def envelopes() -> Open:
    operator = Open(lambda: KEYS)
    operator.open(None)
    return operator


def test_an_envelope_opens_into_numbered_parts_and_its_fault() -> None:
    payload = b'{"a":1}\n{"b":2}\n{"c"'
    assert list(envelopes().eval(payload)) == [
        (0, b'{"a":1}', *NOTHING),
        (1, b'{"b":2}', *NOTHING),
        (2, b'{"c"', *NOTHING),
    ]
    cut = gzip.compress(payload)[:-8]
    assert list(envelopes().eval(cut)) == [
        *envelopes().eval(payload),
        (3, cut, "gzip_invalid", f"the gzip breaks off at byte {len(cut)}", *[None] * 3),
    ]
    by_key = enclosed(PROJECT, cut)
    assert list(envelopes().eval(by_key)) == [
        (0, b'{"a":1}', None, None, str(PROJECT), "r-1", "events cohorts"),
        (1, b'{"b":2}', None, None, str(PROJECT), "r-1", "events cohorts"),
        (2, b'{"c"', None, None, str(PROJECT), "r-1", "events cohorts"),
        (3, cut, "gzip_invalid", f"the gzip breaks off at byte {len(cut)}", str(PROJECT), "r-1", "events cohorts"),
    ]


def test_an_error_in_opening_is_a_part_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[envelope.Part]:
        yield envelope.Part(b"1")
        raise ValueError("torn")  # noqa: EM101

    monkeypatch.setattr(envelope, "unpack", broken)
    assert list(envelopes().eval(b"x")) == [
        (0, b"1", *NOTHING),
        (1, b"x", "internal_error", "ValueError('torn')", *[None] * 3),
    ]


def test_no_record_is_blamed_when_the_worker_has_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(parse, "quick", full)
    with pytest.raises(MemoryError):
        decode(encode(event()), ARRIVAL, REGISTRY)
    monkeypatch.setattr(envelope, "unpack", full)
    with pytest.raises(MemoryError):
        list(envelopes().eval(b"x"))


def test_the_registry_is_asked_anew_for_each_batch() -> None:
    operator = Decode(lambda: Copies({}, WITHOUT_UNKNOWN))
    operator.open(Metrics())
    kinds = [rows(operator.eval(*batch(encode(event()))))[0][0] for _ in range(2)]
    assert kinds == ["quarantined", "event"]
