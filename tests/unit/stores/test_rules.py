"""Which rules a project may have, and the form in which tables, files and JSON have them."""

from typing import Any

import pytest

from stores.project import linked
from stores.project_items import of_rules, project_of, registration
from stores.rules import NEEDED, NO_TEXTS, OBJECTS, EventFilter, FieldRule, RuleError, Rules, documented, rules_of
from tests.builders import PROJECT
from tests.cases import each
from udfs.model import DOCUMENTED_COLUMNS
from udfs.parse import _ALIASES

RULES = Rules(
    (FieldRule("event_properties.card", "drop"), FieldRule("user_properties.phone", "hash")),
    (EventFilter("Heartbeat"), EventFilter(None, (("event_properties.env", "test"), ("platform", "Web")))),
)
DOCUMENT = {
    "field_rules": {"user_properties.phone": "hash", "event_properties.card": "drop"},
    "event_filters": [
        {"event": "Heartbeat"},
        {"where": {"platform": "Web", "event_properties.env": "test"}},
        {"event": "Heartbeat", "where": {}},
    ],
}


def test_rules_are_in_order_and_each_is_there_once() -> None:
    assert rules_of(DOCUMENT) == RULES
    assert rules_of(documented(RULES)) == RULES
    assert rules_of({}) == Rules()
    assert documented(None) == {"field_rules": {}, "event_filters": []}


def test_rules_come_back_out_of_the_table() -> None:
    values = registration(linked(PROJECT, "acme"), 0)["ExpressionAttributeValues"]
    item = {"project_id": {"N": str(PROJECT)}, "version": {"N": "1"}}
    item |= {name.removeprefix(":"): value for name, value in values.items()}
    assert project_of("projects", item).project.rules is None
    assert project_of("projects", item | of_rules(RULES)).project.rules == RULES
    assert of_rules(Rules()) == {}


FIELD = "field_rules"
BAD: list[tuple[Any, str]] = [
    ({"user_id": "drop"}, "'user_id': user_id stays as it is: profiles, cohorts and erasure find a user by it"),
    ({"user_id": "hash"}, "'user_id': user_id stays as it is: profiles, cohorts and erasure find a user by it"),
    ({"device_id.x": "drop"}, "device_id stays as it is"),
    ({"$insert_id": "drop"}, "$insert_id stays as it is: copies, the month and the order of updates"),
    ({"server_upload_time": "drop"}, "server_upload_time stays as it is"),
    ({"app": "drop"}, "app stays as it is: the project's id tells whose a record is"),
    ({"event_properties": "hash"}, "'event_properties': a hash takes the place of a property: name one in it"),
    ({"location_lat": "hash"}, "'location_lat': a number or a time has no room for a hash: drop it"),
    (
        {"user_properties.$set.phone": "drop"},
        "leave out $set: a rule holds within operators such as $set by itself",
    ),
    ({"ip_address": "encrypt"}, "'encrypt' is neither `drop` nor `hash`"),
    ({"": "drop"}, "'': a path has 1 to 8 levels"),
    ({"a.b.c.d.e.f.g.h.i": "drop"}, "a path has 1 to 8 levels"),
    ({"a\nb": "drop"}, r"'a\nb' is no text of at most 200 printable characters"),
    ({"a" * 201: "drop"}, "is no text of at most 200 printable characters"),
    ({"data": "drop", "data!": "drop", "data.a": "hash"}, "'data.a' lies within 'data': one of them is enough"),
    (
        {f"event_properties.{n}": "drop" for n in range(51)},
        "51 field rules and 0 event filters: a project may have 50",
    ),
]
BAD_FILTERS: list[tuple[Any, str]] = [
    ({}, "name an event, a path with a text, or both"),
    ({"event": ""}, "name an event, a path with a text, or both"),
    ({"event": 5}, "5 is no text"),
    ({"event": "a", "where": {"event_properties.n": 5}}, "event filter 'a': 5 is no text"),
    ({"event": "a", "where": {"event_properties": "x"}}, "event_properties is no text that could be compared"),
    ({"where": {"event_time": "x"}}, "event_time is no text that could be compared"),
    ({"where": {"a": "", "b": "", "c": "", "d": ""}}, "4 conditions, and 3 are allowed"),
    ({"where": ["a"]}, "it has an `event` with a name, a table `where`"),
    ({"name": "a"}, "it has an `event` with a name, a table `where`"),
    ("Heartbeat", "it has an `event` with a name, a table `where`"),
]
BAD_DOCUMENTS = [
    *(({"field_rules": rules}, words) for rules, words in BAD),
    *(({"event_filters": [one]}, words) for one, words in BAD_FILTERS),
    ({"fields": {}}, "fields: there are field_rules and event_filters, and nothing else"),
    ({"field_rules": ["ip_address"]}, "field_rules is a table of paths with `drop` or `hash`"),
]


@each(("document", "words"), BAD_DOCUMENTS, ids=[words[-40:] for _, words in BAD_DOCUMENTS])
def test_a_rule_that_may_not_be_is_named_in_one_line(document: dict[str, Any], words: str) -> None:
    with pytest.raises(RuleError) as raised:
        rules_of(document)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_fields_that_rules_know_are_those_of_amplitude() -> None:
    assert set(OBJECTS) == {name for name, kind in DOCUMENTED_COLUMNS.items() if kind is dict}
    needed = {field for fields in NEEDED.values() for field in fields}
    assert set(_ALIASES.values()) < needed
    untouchable = needed - {"app", "event_type", "$insert_id", *_ALIASES.values()}
    assert untouchable < set(DOCUMENTED_COLUMNS)
    assert set(NO_TEXTS) == {
        name for name, kind in DOCUMENTED_COLUMNS.items() if kind not in {str, dict} and name not in needed
    }
