"""Made-up events, user updates and cohort messages in the shapes of docs/amplitude.md §1 to §3, by seed."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]


_NULLS: Record = dict.fromkeys((
    "$insert_key", "$schema", "adid", "amplitude_attribution_ids", "amplitude_event_type", "device_brand",
    "device_carrier", "device_manufacturer", "device_model", "dma", "global_user_properties", "idfa",
    "is_attribution_event", "location_lat", "location_lng", "partner_id", "paying", "sample_rate",
    "source_id", "start_version", "user_creation_time", "version_name",
))  # fmt: skip


DEVICES: tuple[Record, ...] = (
    {
        "platform": "Web", "os_name": "Chrome", "os_version": "137", "device_family": "Mac OS X",
        "device_type": "Mac", "library": "amplitude-ts/2.16.1",
    },
    {
        "platform": "iOS", "os_name": "ios", "os_version": "18.5", "device_family": "Apple iPhone",
        "device_type": "Apple iPhone", "device_brand": "Apple", "device_manufacturer": "Apple",
        "device_model": "iPhone17,1", "device_carrier": "SK Telecom", "library": "amplitude-swift/1.13.5",
        "version_name": "5.21.0", "start_version": "4.2.1",
    },
    {
        "platform": "Android", "os_name": "android", "os_version": "15", "device_family": "Samsung Galaxy S",
        "device_type": "Samsung Galaxy S25", "device_brand": "samsung", "device_manufacturer": "samsung",
        "device_model": "SM-S931N", "device_carrier": "KT", "library": "amplitude-android/1.20.4",
        "version_name": "5.20.3", "start_version": "5.0.0",
    },
)  # fmt: skip


_PLACES: tuple[Record, ...] = (
    {"country": "South Korea", "region": "Seoul", "city": "서울", "language": "Korean"},
    {"country": "South Korea", "region": "Gyeonggi-do", "city": "성남시", "language": "Korean"},
    {
        "country": "United Kingdom",
        "region": "Hertfordshire",
        "city": "Hemel Hempstead",
        "language": "English",
    },
    {"country": "Brazil", "region": "São Paulo", "city": "São Paulo", "language": "Portuguese"},
)


_EVENT_PROPERTIES: dict[str, Callable[[Random], Record]] = {
    "session_start": lambda _: {},
    "session_end": lambda _: {},
    "Play Song": lambda rng: {"title": "밤편지", "is enterprise?": False, "seconds": rng.randrange(240)},
    "장바구니 담기": lambda rng: {"상품명": "겨울 니트 🧶", "수량": rng.randint(1, 5), "할인율": 0.0},
    "상품 조회 👀": lambda rng: {"category": ["여성", "아우터"], "product_id": str(rng.getrandbits(40))},
    "Order Completed": lambda rng: {"items": [{"sku": f"A-{rng.randrange(999)}", "price": 12900.5}] * 2},
    "[Amplitude] Page Viewed": lambda rng: {
        "[Amplitude] Page Path": f"/goods/{rng.randrange(9999)}", "[Amplitude] Page Title": "오늘의 특가",
        "[Amplitude] Page Counter": rng.randrange(40),
    },
    "revenue_amount": lambda rng: {
        "$productId": f"sub-{rng.randrange(9)}", "$price": 9900, "$quantity": 1, "$revenue": 9900.0,
        "$revenueType": "구독", "$currency": "KRW",
    },
    "[Experiment] Exposure": lambda _: {"flag_key": "checkout-v2", "variant": "treatment"},
}  # fmt: skip


_EVENT_TYPES = tuple(_EVENT_PROPERTIES)


_LATENESS = (timedelta(days=2), timedelta(days=20), timedelta(days=400), timedelta(days=1100))


_CLOCK_AHEAD = timedelta(days=700)


_HALF_EMOJI = "@half an emoji@"


_SENTINELS = ("anonymous", "null", "N/A", "0", "-1", "00000000-0000-0000-0000-000000000000")


def person(rng: Random, devices: Sequence[Record] = DEVICES) -> Record:
    number = rng.randrange(10**6)
    return {
        **rng.choice(devices),
        **rng.choice(_PLACES),
        "device_id": f"{uuid(rng)}R",
        "user_id": f"user-{number}@example.com" if rng.random() < 0.7 else None,
        "amplitude_id": rng.randrange(10**11, 10**12),
        "ip_address": f"203.0.113.{number % 256}",
        "user_properties": {
            "이름": f"회원 {number}",
            "grade": rng.choice(("VIP 💎", "일반")),
            "Country": "KR",
            "country": "South Korea",
            "spent": rng.randrange(10**6) / 10,
        },
    }


def make_event(rng: Random, number: int, project_id: int, person: Record, upload: datetime) -> Record:
    """An event as today's SDKs lead to (record A of docs/amplitude.md §1.6); `number` is unique in the sample."""
    event_type = rng.choice(_EVENT_TYPES)
    event = {
        **_NULLS,
        **person,
        **clocks(rng, upload),
        "$insert_id": uuid(rng),
        "app": project_id,
        "data": {"path": "/2/httpapi", "user_properties_updated": True, "group_first_event": {}},
        "data_type": "event",
        "event_id": number,
        "event_properties": _EVENT_PROPERTIES[event_type](rng),
        "event_type": event_type,
        "group_properties": {},
        "groups": {},
        "plan": {},
        "session_id": int(upload.timestamp() * 1000) - rng.randrange(10**6),
        "uuid": uuid(rng),
    }
    return dict(sorted(event.items()))


def clocks(rng: Random, upload: datetime) -> Record:
    lateness = timedelta(milliseconds=rng.randint(200, 30_000))
    if rng.random() < 0.08:
        lateness += rng.choice(_LATENESS)
    elif rng.random() < 0.003:
        lateness = -_CLOCK_AHEAD
    happened, received = (
        stamp(upload - lateness),
        stamp(upload - timedelta(milliseconds=rng.randint(3, 90))),
    )
    return {
        "client_event_time": happened,
        "client_upload_time": received,
        "event_time": happened,
        "processed_time": stamp(upload + timedelta(microseconds=rng.randint(400_000, 9_000_000))),
        "server_received_time": received,
        "server_upload_time": _upload_stamp(rng, upload),
    }


def _upload_stamp(rng: Random, upload: datetime) -> str:
    """Nearly always Amplitude's own form; a few in the other forms, which must lead to the same month."""
    if rng.random() < 0.97:
        return stamp(upload)
    seoul = upload.astimezone(timezone(timedelta(hours=9)))
    return rng.choice(
        (
            f"{upload:%Y-%m-%dT%H:%M:%S.%f}",
            f"{upload:%Y-%m-%dT%H:%M:%S}Z",
            f"{upload:%Y-%m-%d %H:%M:%S.%f}000",
            f"{seoul:%Y-%m-%d %H:%M:%S.%f}+09:00",
        )
    )


def with_shape(rng: Random, event: Record) -> Record:
    roll = rng.random()
    if roll < 0.04:
        return _segment_shape(event)
    return _import_shape(event) if roll < 0.08 else event


def _segment_shape(event: Record) -> Record:
    """As forwarded by Segment in 2020: fewer fields, groups, no session (record B of docs/amplitude.md §1.6)."""
    absent = {"$insert_key", "data_type", "global_user_properties", "partner_id", "plan", "source_id"}
    group = "90f978f0-5e4e-11ea-9bb3-0ed254670000"
    return {key: value for key, value in event.items() if key not in absent} | {
        "$schema": 12,
        "library": "segment",
        "session_id": -1,
        "groups": {"[Segment] Group": [group]},
        "group_properties": {"[Segment] Group": {group: {}}},
        "data": {"group_ids": {"3124": [2357687219]}, "group_first_event": {}},
    }


def _import_shape(event: Record) -> Record:
    """As imported in batches from an advertising source: no user, keys that collide by case (record C)."""
    unknown = dict.fromkeys(("city", "country", "ip_address", "language", "platform", "region", "user_id"))
    return {
        **event,
        **unknown,
        "event_type": "Daily Ad Metrics",
        "library": "google_ads",
        "session_id": -1,
        "user_properties": {"city": "test", "City": "London", "Country": "UK", "country": "test"},
        "event_properties": {"ad_metrics.cost": 0.528957, "ad_metrics.conversions": 0.0, "id": 643022056303},
        "data": {"path": "/batch", "user_properties_updated": True, "vacuum_source_id": "5955"},
    }


def with_rung(rng: Random, event: Record) -> Record:
    """Take identifiers from one event in ten, so that each rung of the identity ladder is used."""
    roll = rng.random()
    if roll >= 0.10:
        return event
    event = _without(rng, event, "uuid")
    if roll < 0.05:
        return event
    event = _without(rng, event, "$insert_id")
    if roll < 0.085:
        return event
    token = {"event_properties": event["event_properties"] | {"request_id": uuid(rng)}}
    return _without(rng, _without(rng, event, "event_id"), "device_id") | token


def _without(rng: Random, event: Record, key: str) -> Record:
    if rng.random() < 0.5:
        return event | {key: None}
    return {name: value for name, value in event.items() if name != key}


def with_oddities(rng: Random, event: Record) -> Record:
    """What docs/amplitude.md allows and few records have: fields of a later schema, app as text, broken values."""
    roll = rng.random()
    if roll < 0.01:
        return event | {"ingestion_metadata": {"source_name": "s3", "판": 2}, "schema_of_2027": [None, 1e-7]}
    if roll < 0.02:
        return event | {"app": str(event["app"])}
    if roll < 0.025:
        return event | {"event_properties": event["event_properties"] | {"ratio": float("nan")}}
    if roll < 0.03:
        return event | {"event_properties": event["event_properties"] | {"cut at 1024": _HALF_EMOJI}}
    if roll < 0.04:
        return event | {"user_id": rng.choice(_SENTINELS)}
    return event


def user_update(rng: Random, project_id: int, person: Record, upload: datetime) -> Record:
    """A change of a user or a group in one of the shapes that may arrive (docs/amplitude.md §2.2)."""
    user = {name: person[name] for name in ("user_id", "device_id", "amplitude_id", "platform", "country")}
    record = {"app": project_id, **clocks(rng, upload), **user, "event_properties": {}, "uuid": uuid(rng)}
    group = {
        "group_type": "company",
        "group_value": f"회사 {rng.getrandbits(40)}",
        "group_properties": {"seats": 7},
    }
    shapes: tuple[Record, ...] = (
        record | {"event_type": "$identify", "user_properties": person["user_properties"]},
        record | {"event_type": "$identify", "user_properties": {"$set": {"plan": "pro"}, "$add": {"logins": 1}}},
        record | {"event_type": "_identify", "user_properties": {"$unset": {"old": "-"}}},
        record | {"event_type": "$groupidentify"} | group,
        {"app": project_id, **user, "user_properties": {"plan": "pro", "points": f"{rng.getrandbits(40)}"}},
        {"app": project_id, **group},
    )
    return rng.choice(shapes)


def cohort_message(rng: Random, cohort_id: str, upload: datetime, users: int) -> Record:
    """A batch of users who enter or leave a cohort (docs/amplitude.md §3.1)."""
    return {
        "cohort_name": "VIP 🧶 재구매",
        "cohort_id": cohort_id,
        "in_cohort": rng.random() < 0.5,
        rng.choice(("computed_time", "compute_time")): str(int(upload.timestamp())),
        "message_id": f"{uuid(rng)}::enter::0",
        "users": [
            {
                "user_id": f"user-{rng.randrange(10**6)}@example.com",
                "user_properties": {"city": "서울", "orders": n},
            }
            for n in range(users)
        ],
    }


def encode(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace(_HALF_EMOJI, r"\ud83d").encode()


def uuid(rng: Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"


def later(text: str, microseconds: int) -> str:
    at = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return stamp(at + timedelta(microseconds=microseconds))
