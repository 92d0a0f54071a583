"""Vocabulary of the tests: what Amplitude sends, named instants and the bytes of a record.

`event(user_id=None, uuid=MISSING)` is one valid event with what matters to the test said aloud; `user_update`
and `cohort` likewise (docs/amplitude.md §2.2, §3.1). EVENT_A, EVENT_B and EVENT_C are the public records of
docs/amplitude.md §1.6: web 2025, Segment 2020, import 2023.
"""

import json
from datetime import UTC, datetime
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]

MISSING: Any = object()

PROJECT = 434735
OTHER_PROJECT = 100011471
UNKNOWN_PROJECT = 203138

UPLOAD = datetime(2026, 3, 15, 9, 30, 29, 753000, tzinfo=UTC)
ARRIVAL = datetime(2026, 3, 15, 9, 30, 33, 250000, tzinfo=UTC)
REDELIVERY = datetime(2026, 3, 15, 13, 2, 11, tzinfo=UTC)
MONTH_START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH_END = datetime(2026, 3, 31, 23, 59, 59, 999999, tzinfo=UTC)
LEAP_DAY_END = datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)
YEAR_END = datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

UUID = "6f1c2a34-0b1d-4e5f-8a9b-0c1d2e3f4a5b"
INSERT_ID = "b7e0a9d2-5c41-4f7e-9d35-1f0e8c2b6a70"
DEVICE = "0d4f8a6c-13b2-4c55-8a1e-7b9c6d5e4f3aR"
USER = "user-a@example.com"


def stamp(at: datetime) -> str:
    """An instant as Amplitude writes it: UTC, a space, six digits, no zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def event(**overrides: object) -> Record:
    """One valid event on identity rung 1; `key=MISSING` drops a key; `**{"$insert_id": x}` for odd ones."""
    record = EVENT_A | _DEFAULTS | overrides
    return {key: value for key, value in record.items() if value is not MISSING}


def user_update(**overrides: object) -> Record:
    """One user update, event-shaped with operators; `event_type=MISSING` and so on for the other shapes."""
    record = _USER_UPDATE | overrides
    return {key: value for key, value in record.items() if value is not MISSING}


def cohort(**overrides: object) -> Record:
    """One cohort message."""
    record = _COHORT | overrides
    return {key: value for key, value in record.items() if value is not MISSING}


def encode(record: object) -> bytes:
    """The bytes of a record as Amplitude sends it: compact, not escaped to ASCII."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


EVENT_A: Record = json.loads("""
{"$insert_id":"ea31ba7b-f543-4b9b-9aec-0fbaa96a3550","$insert_key":null,"$schema":null,"adid":null,
"amplitude_attribution_ids":null,"amplitude_event_type":null,"amplitude_id":45975551903,"app":100011471,
"city":"Hemel Hempstead","client_event_time":"2025-07-17 10:36:28.583000",
"client_upload_time":"2025-07-17 10:36:29.750000","country":"United Kingdom","data":{"path":"/2/httpapi",
"user_properties_updated":true,"group_first_event":{},"group_ids":{}},"data_type":"event",
"device_brand":null,"device_carrier":null,"device_family":"Mac OS X",
"device_id":"4289c8b4-7afe-49ed-8814-51c5fc770000","device_manufacturer":null,"device_model":null,
"device_type":"Mac","dma":null,"event_id":135,"event_properties":{},
"event_time":"2025-07-17 10:36:28.583000","event_type":"session_start","global_user_properties":null,
"group_properties":{},"groups":{},"idfa":null,"ip_address":"203.0.113.60","is_attribution_event":null,
"language":"English","library":"amplitude-ts/2.16.1","location_lat":null,"location_lng":null,
"os_name":"Chrome","os_version":"137","partner_id":null,"paying":null,"plan":{},"platform":"Web",
"processed_time":"2025-07-17 10:36:31.609000","region":"Hertfordshire","sample_rate":null,
"server_received_time":"2025-07-17 10:36:29.750000","server_upload_time":"2025-07-17 10:36:29.753000",
"session_id":1752748588583,"source_id":null,"start_version":null,"user_creation_time":null,
"user_id":"user-a@example.com","user_properties":{"initial_utm_medium":"EMPTY","initial_utm_source":"EMPTY",
"initial_referrer":"EMPTY","referrer":"https://www.google.com/","referring_domain":"www.google.com"},
"uuid":"3e702190-9dcb-483a-94d8-58e93ce10000","version_name":null}
""")

EVENT_B: Record = json.loads("""
{"country":"Canada","data":{"group_ids":{"3124":[2357687219]},"group_first_event":{}},"$schema":12,
"language":"English","device_type":null,"device_carrier":null,"uuid":"d0b5b3a6-2e3b-11eb-9a80-0a6213450000",
"user_creation_time":"2020-07-09 18:51:29.664000","location_lng":null,
"event_type":"segment.definition.permission_paywall.load","paying":null,"location_lat":null,"app":203138,
"device_id":"a1c9357b-b104-41c5-b4be-2b4114890000","group_properties":{"[Segment] Group":{
"90f978f0-5e4e-11ea-9bb3-0ed254670000":{}}},"idfa":null,"server_upload_time":"2020-11-24 09:59:58.880000",
"amplitude_attribution_ids":null,"server_received_time":"2020-11-24 09:59:58.863000",
"user_id":"1fa23f90-c215-11ea-a639-02ed18110000","region":"Newfoundland and Labrador",
"amplitude_event_type":null,"processed_time":"2020-11-24 10:00:00.480098","device_model":"Mac OS",
"user_properties":{"organizationId":"90f978f0-5e4e-11ea-9bb3-0ed254670000","organizationPlanType":"FREE",
"role":"Member","name":"user-b","email":"user-b@example.com",
"[Segment] Group":"90f978f0-5e4e-11ea-9bb3-0ed254670000"},"city":"St. John's","start_version":null,
"is_attribution_event":false,"client_event_time":"2020-11-24 09:59:55.977000","device_family":"Mac OS",
"platform":"Web","device_manufacturer":null,"library":"segment","adid":null,
"$insert_id":"ajs-de09c0da8f0c71f2e67cdae5a4400000:CS4fUc2U9U",
"client_upload_time":"2020-11-24 09:59:58.863000","event_properties":{
"eventTypeId":"segment.definition.permission_paywall.load","split":[{
"account":"90f978f0-5e4e-11ea-9bb3-0ed254670000"}]},"amplitude_id":176632796945,"os_version":"86",
"session_id":-1,"groups":{"[Segment] Group":["90f978f0-5e4e-11ea-9bb3-0ed254670000"]},
"ip_address":"203.0.113.34","event_id":213979667,"version_name":null,"sample_rate":null,"device_brand":null,
"os_name":"Chrome","dma":null,"event_time":"2020-11-24 09:59:55.977000"}
""")

EVENT_C: Record = json.loads("""
{"$insert_id":"google-ad-4651612872-643022056303-DESKTOP-2023-08-24","$insert_key":null,"$schema":null,
"adid":null,"amplitude_attribution_ids":null,"amplitude_event_type":null,"amplitude_id":550106004607,
"app":434735,"city":null,"client_event_time":"2023-08-24 07:00:00.000000",
"client_upload_time":"2023-08-25 11:04:55.821000","country":null,"data":{"path":"/batch",
"user_properties_updated":true,"vacuum_source_id":"5955","group_first_event":{},"group_ids":{}},
"data_type":"event","device_brand":null,"device_carrier":null,"device_family":null,
"device_id":"google-ad-4651612872-643022056303","device_manufacturer":null,"device_model":null,
"device_type":null,"dma":null,"event_id":355175889,"event_properties":{"ad_metrics.cost":0.528957,
"ad_segment_device":"DESKTOP","ad_metrics.impressions":1535,"ad_id":643022056303,
"campaign_start_date":"2022-12-28","ad_metrics.conversions":0.0,"campaign_id":19410069806},
"event_time":"2023-08-24 07:00:00.000000","event_type":"Daily Ad Metrics","global_user_properties":null,
"group_properties":{},"groups":{},"idfa":null,"ip_address":null,"is_attribution_event":null,"language":null,
"library":"google_ads","location_lat":null,"location_lng":null,"os_name":null,"os_version":null,
"partner_id":null,"paying":null,"plan":{},"platform":null,"processed_time":"2023-08-25 11:05:08.912000",
"region":null,"sample_rate":null,"server_received_time":"2023-08-25 11:04:55.821000",
"server_upload_time":"2023-08-25 11:05:08.013000","session_id":-1,"source_id":null,"start_version":null,
"user_creation_time":null,"user_id":null,"user_properties":{"country":"test","city":"test","City":"London",
"Region":"London","Country":"UK","region":"test"},"uuid":"37bcd2f0-2688-47d5-ba90-76b0bd130000",
"version_name":null}
""")

_DEFAULTS: Record = {
    "app": PROJECT,
    "uuid": UUID,
    "$insert_id": INSERT_ID,
    "device_id": DEVICE,
    "user_id": USER,
    "event_id": 135,
    "event_type": "Play Song",
    "event_properties": {"title": "밤편지", "seconds": 240},
    "client_event_time": "2026-03-15 09:30:28.583000",
    "client_upload_time": "2026-03-15 09:30:29.750000",
    "event_time": "2026-03-15 09:30:28.583000",
    "server_received_time": "2026-03-15 09:30:29.750000",
    "server_upload_time": stamp(UPLOAD),
    "processed_time": "2026-03-15 09:30:31.609000",
    "session_id": 1773567000000,
}

_USER_UPDATE: Record = {
    "app": PROJECT,
    "event_type": "$identify",
    "user_id": USER,
    "device_id": DEVICE,
    "amplitude_id": 550106004607,
    "event_time": "2026-03-15 09:30:28.583000",
    "server_upload_time": stamp(UPLOAD),
    "uuid": UUID,
    "event_properties": {},
    "user_properties": {"$set": {"plan": "pro"}, "$add": {"logins": 1}, "$unset": {"old": "-"}},
    "groups": {},
}

_COHORT: Record = {
    "cohort_name": "Test Cohort",
    "cohort_id": "gs72ns",
    "in_cohort": True,
    "computed_time": "1685748245",
    "message_id": "some-message-id:54",
    "users": [{"user_id": USER, "user_properties": {"city": "Seoul", "fav_animal": "Bat"}}],
}
