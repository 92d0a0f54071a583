"""The kind of a message, in the order of docs/amplitude.md §2.2, and which messages are a test or an echo."""

import json

from tests.builders import EVENT_A, MISSING, PROJECT, Record, cohort, event, user_update
from tests.cases import each
from udfs import parse
from udfs.classify import classify
from udfs.model import Kind, Reason, Rejection

TEST = Rejection(Reason.TEST_RECORD, "Amplitude's test of the connection")
OWN = Rejection(Reason.OWN_EVENT, "an event that Notifly has sent to Amplitude")
APPBOY = Rejection(Reason.APPBOY_EVENT, "an event that Braze has sent to Amplitude")
NAMELESS = Rejection(Reason.EVENT_TYPE_MISSING, "no event_type, or null")
FOREIGN = Rejection(Reason.FOREIGN, "neither an event, a user update nor a cohort message")

WAREHOUSE = Rejection(Reason.WAREHOUSE_ROW, "a row of a warehouse: its columns are named in capitals")
MERGED = Rejection(Reason.MERGED_IDS, "a row of Amplitude's exports of merged users")
REQUEST = Rejection(Reason.API_REQUEST, "the body of a request to one of Amplitude's APIs")
DELETION = Rejection(Reason.DELETION, "a deletion of users, as Amplitude's User Privacy API has it")

IDENTIFY_API = {"user_id": "user-1", "device_id": "d-1", "user_properties": {"plan": "pro", "logins": "17"}}
GROUP = {"group_type": "org", "group_value": "acme", "group_properties": {"seats": 3}}
SAMPLE = {"event_type": "test_event_type", "user_id": "some user id", "app": "some app id"}

OUTCOMES: dict[str, tuple[Record, Kind | Rejection]] = {
    "event": (event(), Kind.EVENT),
    "event of Amplitude's own": (event(event_type="[Amplitude] Page Viewed"), Kind.EVENT),
    "experiment's exposure": (event(event_type="[Experiment] Exposure"), Kind.EVENT),
    "event of no user": (event(user_id=None, device_id=None), Kind.EVENT),
    "event without properties": (event(user_properties=MISSING), Kind.EVENT),
    "event without app": (event(app=MISSING), Kind.EVENT),
    "event_type no text": (event(event_type=7), Kind.EVENT),
    "event_type empty": (event(event_type=""), Kind.EVENT),
    "event_type a list": (event(event_type=["$identify"]), Kind.EVENT),
    "name that only begins as a user update": (event(event_type="$identify_me"), Kind.EVENT),
    "name in other letters": (event(event_type="$Identify"), Kind.EVENT),
    "event of a cohort": (event(cohort_id="c"), Kind.EVENT),
    "event with users": (event(users=[]), Kind.EVENT),
    "user update, operators": (user_update(), Kind.USER_UPDATE),
    "user update, alias": (user_update(event_type="_identify"), Kind.USER_UPDATE),
    "user update, resolved": (user_update(user_properties={"plan": "pro"}), Kind.USER_UPDATE),
    "user update without properties": (user_update(user_properties=MISSING), Kind.USER_UPDATE),
    "user update without app": (user_update(app=MISSING), Kind.USER_UPDATE),
    "Identify API": (IDENTIFY_API, Kind.USER_UPDATE),
    "Identify API with app": (IDENTIFY_API | {"app": PROJECT}, Kind.USER_UPDATE),
    "Identify API by device": (IDENTIFY_API | {"user_id": None}, Kind.USER_UPDATE),
    "Identify API, null name": (IDENTIFY_API | {"event_type": None}, Kind.USER_UPDATE),
    "Identify API, properties no object": (IDENTIFY_API | {"user_properties": None}, Kind.USER_UPDATE),
    "group identify": (user_update(event_type="$groupidentify"), Kind.USER_UPDATE),
    "Group Identify API": (GROUP, Kind.USER_UPDATE),
    "Group Identify API with app": (GROUP | {"app": PROJECT}, Kind.USER_UPDATE),
    "cohort": (cohort(), Kind.COHORT),
    "cohort of nobody": (cohort(users=[]), Kind.COHORT),
    "cohort of odd types": (cohort(users=None, cohort_id=7), Kind.COHORT),
    "cohort before all else": (event(**cohort(), event_type="[Appboy] x"), Kind.COHORT),
    "cohort without an id": (cohort(cohort_id=MISSING), Kind.COHORT),
    "cohort without users": (cohort(users=MISSING), Kind.COHORT),
    "an id of a cohort and no more of it": ({"cohort_id": "c", "request_id": "r"}, FOREIGN),
    "event that says it is in a cohort": (event(cohort_id="c", in_cohort=True), Kind.EVENT),
    "test record": (SAMPLE, TEST),
    "test record among an event's fields": (EVENT_A | SAMPLE, TEST),
    "test record, app real": (SAMPLE | {"app": PROJECT}, TEST),
    "test record, app missing": ({"event_type": "test_event_type"}, TEST),
    "test record, app null": ({"user_id": "some user id", "app": None}, TEST),
    "test record by its app alone": ({"app": "some app id"}, TEST),
    "test record that looks like a user update": (IDENTIFY_API | {"user_id": "some user id"}, TEST),
    "event that shares one mark": (event(event_type="test_event_type"), Kind.EVENT),
    "event of a user of that name": (event(user_id="some user id"), Kind.EVENT),
    "event of both": (event(event_type="test_event_type", user_id="some user id"), TEST),
    "our own event": (event(event_type="[Notifly] push_delivered"), OWN),
    "our own event of no app": (event(event_type="[Notifly] push_delivered", app=None), OWN),
    "not our own event": (event(event_type="[Notifly]push"), Kind.EVENT),
    "Braze's event": (event(event_type="[Appboy] Email Opened"), APPBOY),
    "Braze's event, its name empty": (event(event_type="[Appboy] "), APPBOY),
    "not Braze's event": (event(event_type="x [Appboy] y"), Kind.EVENT),
    "app and nothing else": ({"app": PROJECT}, NAMELESS),
    "app that is none": ({"app": True, "event_type": None}, NAMELESS),
    "merged ids of an organisation": (
        {"scope": 1, "merge_time": "t", "merge_server_time": "t", "amplitude_id": 1, "merged_amplitude_id": 2},
        MERGED,
    ),
    "merged ids of a warehouse": ({"amplitude_id": 1, "merged_amplitude_id": 2, "merge_event_time": "t"}, MERGED),
    "merged ids with an app": ({"app": PROJECT, "amplitude_id": 1, "merged_amplitude_id": 2}, MERGED),
    "merged ids in capitals": ({"AMPLITUDE_ID": 1, "MERGED_AMPLITUDE_ID": 2, "MERGE_EVENT_TIME": "t"}, MERGED),
    "a row of Snowflake": ({name.upper(): value for name, value in event().items()}, WAREHOUSE),
    "a row of Snowflake, its columns chosen": ({"EVENT_TYPE": "Play Song", "USER_ID": "u", "N": 1}, WAREHOUSE),
    "a row of Snowflake, columns of the device alone": ({"EVENT_TYPE": "Play", "DEVICE_FAMILY": "x"}, WAREHOUSE),
    "a row of Snowflake, a time alone": ({"EVENT_TYPE": "Play", "SERVER_UPLOAD_TIME": "t"}, WAREHOUSE),
    "words of any system in capitals": ({"EVENT_TYPE": "Play", "DATA": {}, "COUNTRY": "x"}, FOREIGN),
    "capitals of something else": ({"EVENT_TYPE": "Play Song", "N": 1}, FOREIGN),
    "event with a column in capitals": (event(EVENT_TYPE="x", APP=1), Kind.EVENT),
    "event with merged ids": (event(merged_amplitude_id=2), Kind.EVENT),
    "HTTP V2": ({"api_key": "k", "events": [event()], "options": {"min_id_length": 1}}, REQUEST),
    "the older HTTP API": ({"api_key": "k", "event": event()}, REQUEST),
    "a request to identify": ({"api_key": "k", "identification": [IDENTIFY_API]}, REQUEST),
    "user mapping": ({"user_id": "u", "global_user_id": "g"}, REQUEST),
    "user mapping undone": ({"user_id": "u", "unmap": True}, REQUEST),
    "event with an API key": (event(api_key="k"), Kind.EVENT),
    "an event with a key in place of app": ({"api_key": "k", "event_type": "a"}, REQUEST),
    "an update with a key in place of app": ({"api_key": "k", "user_id": "u", "user_properties": {}}, REQUEST),
    "mapping of users": ({"api_key": "k", "mapping": []}, REQUEST),
    "an API key of another": ({"api_key": "k", "hello": "world"}, FOREIGN),
    "deletion": ({"user_ids": [1000, 2999], "requester": "a@example.com", "delete_from_org": "True"}, DELETION),
    "deletion, its state": ({"day": "2026-01-05", "amplitude_ids": [], "status": "staging", "app": "1"}, DELETION),
    "deletion and no more": ({"user_ids": ["u"]}, DELETION),
    "deletion of one user": ({"user_id": "u", "requester": "a@example.com", "delete_from_org": True}, DELETION),
    "deletion of one id": ({"amplitude_id": 1, "requester": "a@example.com"}, DELETION),
    "download of a cohort": ({"cohort": {"id": "c"}, "amplitude_ids": [1], "user_ids": ["u"]}, FOREIGN),
    "a request of somebody else": ({"requester": "a@example.com", "ticket": 1}, FOREIGN),
    "users of something else": ({"user_ids": ["u"], "campaign": 1, "status": "sent"}, FOREIGN),
    "ids and nothing else": ({"amplitude_id": 1, "user_id": "u"}, FOREIGN),
    "properties of nobody": ({"user_id": None, "user_properties": {}}, FOREIGN),
    "part of a group": ({"group_type": "org", "group_value": "acme"}, FOREIGN),
    "nothing": ({}, FOREIGN),
    "something else": ({"hello": "world"}, FOREIGN),
    "an event within": ({"event": event()}, FOREIGN),
}


@each(("record", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_the_first_rule_that_holds_counts(record: Record, outcome: Kind | Rejection) -> None:
    assert classify(record) == outcome


@each(("record", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_what_the_quick_way_takes_is_an_event(record: Record, outcome: Kind | Rejection) -> None:
    assert outcome == Kind.EVENT or parse.quick(json.dumps(record).encode()) is None
