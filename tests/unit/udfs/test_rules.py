"""A project's rules on a record's way: what is stored of it, what stays out, and what neither changes."""

from hashlib import sha256
from typing import Any

import pytest

from stores.project import linked
from stores.rules import rules_of
from tests.builders import ARRIVAL, DEVICE, INSERT_ID, PROJECT, USER, cohort, encode, event, user_update
from tests.cases import each
from tests.leaves import leaves
from udfs import cohorts, decode
from udfs.attribute import Registry
from udfs.model import Kind

NAIVE_ARRIVAL = ARRIVAL.replace(tzinfo=None)
SECRET = "010-1234-5678"
KEPT_OUT = "any event by its platform"


def registry(fields: dict[str, str] | None = None, *filters: dict[str, Any]) -> Registry:
    rules = rules_of({"field_rules": fields or {}, "event_filters": list(filters)})
    project = linked(PROJECT, "acme")._replace(rules=rules)
    return {PROJECT: project, "gs72ns": project}


def row(record: object, known: Registry) -> dict[str, Any]:
    (leaf,) = leaves(record if isinstance(record, bytes) else encode(record), NAIVE_ARRIVAL, known)
    return leaf.columns


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


SEVEN, TRUE, OBJECT = hashed("7"), hashed("true"), hashed('{"b":1}')


@each(
    ("rule", "fields", "stored"),
    [
        ({"ip_address": "drop"}, {"ip_address": SECRET}, {"ip_address": None}),
        ({"ip_address": "hash"}, {"ip_address": SECRET}, {"ip_address": hashed(SECRET)}),
        ({"location_lat": "drop"}, {"location_lat": 37.5}, {"location_lat": None}),
        ({"idfa": "drop"}, {"idfa": SECRET, "adid": "a"}, {"extra": '{"adid":"a"}'}),
        ({"idfa": "drop"}, {"idfa": SECRET}, {"extra": None}),
        ({"undocumented.phone": "drop"}, {"undocumented": {"phone": SECRET, "n": 1}},
         {"extra": '{"undocumented":{"n":1}}'}),
        ({"event_properties": "drop"}, {"event_properties": {"a": SECRET}}, {"event_properties": "{}"}),
        ({"event_properties.a": "drop"}, {"event_properties": {"a": SECRET, "b": 1.50}},
         {"event_properties": '{"b":1.5}'}),
        ({"event_properties.a.b": "drop"}, {"event_properties": {"a.b": SECRET, "a": {"b": SECRET, "c": 1}}},
         {"event_properties": '{"a":{"c":1}}'}),
        ({"event_properties.a.b": "hash"}, {"event_properties": {"a": [{"b": SECRET}, {"b": [7, True, None]}]}},
         {"event_properties": f'{{"a":[{{"b":"{hashed(SECRET)}"}},{{"b":["{SEVEN}","{TRUE}",null]}}]}}'}),
        ({"event_properties.a": "hash"}, {"event_properties": {"a": {"b": 1}}},
         {"event_properties": f'{{"a":"{OBJECT}"}}'}),
        ({"event_properties.a": "drop"}, {"event_properties": f'{{"a":"{SECRET}"}}'},
         {"event_properties": "{}", "extra": None}),
        ({"ip_address": "drop"}, {"ip_address": [SECRET]}, {"ip_address": None, "extra": None}),
    ],
)  # fmt: skip
def test_what_stands_at_a_path_is_not_stored(
    rule: dict[str, str], fields: dict[str, Any], stored: dict[str, Any]
) -> None:
    found = row(event(**fields), registry(rule))
    assert found["kind"] == Kind.EVENT
    assert {name: found[name] for name in stored} == stored
    assert SECRET not in repr(found)
    assert any(one.startswith("field_rule:") for one in found["repairs"].split())


def test_all_else_of_a_record_is_as_without_rules() -> None:
    record = event(event_properties={"a": 1, "밤 편지": [1e400, {"b": 2}]}, ip_address="203.0.113.60")
    without, found = (row(record, known) for known in (registry(), registry({"event_properties.밤 편지": "drop"})))
    changed = {name for name in found if found[name] != without[name]}
    assert changed == {"event_properties", "repairs"}
    assert found["event_properties"] == '{"a":1}'
    assert found["repairs"] == "field_rule:event_properties.밤%20편지 nan_to_null"
    assert row(record, registry({"event_properties.absent": "drop", "adid": "hash"})) == without


def test_a_path_that_stands_twice_is_gone_both_times() -> None:
    spelled = encode(event(event_properties={})).replace(
        b'"event_properties":{}', b'"event_properties":{"a":{"b":"%b"},"a":{"c":1}}' % SECRET.encode()
    )
    assert row(spelled, registry({"event_properties.a.b": "drop"}))["event_properties"] == '{"a":{"c":1}}'


@each(
    ("properties", "stored"),
    [
        ({"phone": SECRET, "plan": "pro"}, '{"plan":"pro"}'),
        ({"$set": {"phone": SECRET}, "$append": {"phone": [SECRET], "n": "a"}}, '{"$set":{},"$append":{"n":"a"}}'),
        ({"$unset": {"phone": "-"}}, '{"$unset":{}}'),
    ],
)  # fmt: skip
def test_a_rule_on_user_properties_holds_within_operators(properties: dict[str, Any], stored: str) -> None:
    found = row(user_update(user_properties=properties), registry({"user_properties.phone": "drop"}))
    assert (found["kind"], found["user_properties"]) == (Kind.USER_UPDATE, stored)
    assert found["to_profile"]


def test_a_list_is_hashed_in_each_element_so_that_it_can_be_added_to() -> None:
    properties = {"$append": {"phone": [SECRET, SECRET]}, "$remove": {"phone": SECRET}}
    found = row(user_update(user_properties=properties), registry({"user_properties.phone": "hash"}))
    one = hashed(SECRET)
    assert found["user_properties"] == f'{{"$append":{{"phone":["{one}","{one}"]}},"$remove":{{"phone":"{one}"}}}}'


def test_a_cohort_message_is_kept_and_stored_without_it() -> None:
    users = [
        {"user_id": USER, "user_properties": {"phone": SECRET, "n": 1e400}},
        {"user_properties": {"phone": SECRET}},
    ]
    message = cohort(users=users)
    without, found = (row(message, known) for known in (registry(), registry({"user_properties.phone": "drop"})))
    assert found["kind"] == Kind.COHORT
    assert SECRET in without["payload"].decode()
    assert SECRET not in found["payload"].decode()
    assert found["identity"] == without["identity"]
    assert found["repairs"].split()[0] == "field_rule:user_properties.phone"
    entries = [entry for _, entry in cohorts.entries(found["payload"], NAIVE_ARRIVAL)]
    assert [(one.user_id, one.user_properties, one.entry) for one in entries] == [
        (USER, '{"n":null}', None),
        (None, None, '{"user_properties":{}}'),
    ]
    assert row(message, registry({"event_properties.phone": "drop"})) == without


@each("changes", [{"uuid": None}, {"uuid": None, "$insert_id": None, "event_id": None}])
def test_identities_are_made_before_rules_hold(changes: dict[str, Any]) -> None:
    record = event(event_properties={"a": SECRET}, **changes)
    without, found = (row(record, known) for known in (registry(), registry({"event_properties.a": "drop"})))
    assert [found[name] for name in ("identity", "identity_hash", "identity_rung")] == [
        without[name] for name in ("identity", "identity_hash", "identity_rung")
    ]


@each(
    ("one", "stays_out"),
    [
        ({"event": "session_start"}, True),
        ({"event": "session"}, False),
        ({"event": "session_start", "where": {"platform": "Web"}}, True),
        ({"event": "session_start", "where": {"platform": "Web", "country": "Korea"}}, False),
        ({"where": {"event_properties.env": "test"}}, True),
        ({"where": {"event_properties.env": "tes"}}, False),
        ({"where": {"event_properties.tags": "b"}}, True),
        ({"where": {"event_properties.items.sku": "7"}}, True),
        ({"where": {"event_properties.items": "7"}}, False),
        ({"where": {"event_properties.debug": "true"}}, True),
        ({"where": {"event_properties.page.url": "/"}}, True),
        ({"where": {"session_id": "-1"}}, True),
        ({"where": {"$insert_id": INSERT_ID}}, True),
        ({"where": {"user_id": USER, "device_id": DEVICE}}, True),
        ({"where": {"undocumented.env": "test"}}, True),
        ({"where": {"platform.x": "Web"}}, False),
        ({"where": {"city": "None"}}, False),
    ],
)
def test_an_event_stays_out_by_its_name_and_values(one: dict[str, Any], stays_out: bool) -> None:
    properties = {"env": "test", "tags": ["a", "b"], "items": [{"sku": 7}], "debug": True, "page.url": "/"}
    record = event(event_type="session_start", event_properties=properties, session_id=-1, city=None,
                   device_id=DEVICE, undocumented={"env": "test"}, **{"$insert_id": INSERT_ID})  # fmt: skip
    found = row(record, registry(None, one))
    assert found["kind"] == (Kind.FILTERED if stays_out else Kind.EVENT)


def test_what_stays_out_is_counted_and_not_kept() -> None:
    record = event(platform="Web", event_properties={"a": SECRET})
    found = row(record, registry({"event_properties.a": "hash"}, {"event": "x"}, {"where": {"platform": "Web"}}))
    assert {name: value for name, value in found.items() if value is not None} == {
        "kind": "filtered",
        "reason": "filtered",
        "detail": KEPT_OUT,
        "payload_length": len(encode(record)),
        "project_id": PROJECT,
        "name": f"amplitude__{record['event_type']}",
    }


def test_filters_look_at_what_came_and_at_events_alone() -> None:
    known = registry({"platform": "hash"}, {"where": {"platform": "Web"}})
    assert row(event(platform="Web"), known)["kind"] == Kind.FILTERED
    assert row(event(platform="iOS"), known)["platform"] == hashed("iOS")
    assert row(user_update(platform="Web"), known)["kind"] == Kind.USER_UPDATE


@each(
    "record",
    [
        event(event_type="[Notifly] push", phone=SECRET),
        event(event_type=["x"], phone=SECRET),
        {"app": PROJECT, "phone": SECRET},
        cohort(in_cohort=SECRET),
    ],
)
def test_a_dead_letter_of_a_project_with_field_rules_keeps_no_bytes(record: dict[str, Any]) -> None:
    without, found = (row(record, known) for known in (registry(), registry({"a": "drop"})))
    assert (without["payload"], found["payload"]) == (encode(record), None)
    assert (found["reason"], found["payload_length"]) == (without["reason"], len(encode(record)))
    assert (without["payload_sha256"], found["payload_sha256"]) == (None, hashed(encode(record).decode()))
    assert row(record, registry(None, {"event": "a"}))["payload"] == encode(record)


def test_a_rule_that_fails_lets_nothing_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(decode.rules, "stored", fail)
    found = row(event(event_properties={"a": SECRET}), registry({"event_properties.a": "drop"}))
    assert (found["reason"], found["payload"]) == ("internal_error", None)
    assert found["detail"] == "ValueError in a rule of the project"
    assert SECRET not in repr(found)
