"""Records that must not be taken, with the reason of each: what others put on the stream, or Amplitude itself."""

import bz2
import json
import lzma
import zlib
from functools import cache
from random import Random

from lab.sample.envelopes import KPL_MAGIC, array, gzipped, lines
from lab.sample.events import Record, encode, uuid

MIB = 2**20


def rejected(example: Record) -> dict[str, list[bytes]]:
    """One form or more for every reason of kind `rejected` that bytes alone can have, out of a valid event."""
    return _unreadable(example) | _unopened(example) | _unusable(example)


def _unreadable(example: Record) -> dict[str, list[bytes]]:
    whole = encode(example)
    ascii_only = json.dumps(example).encode()
    head = b'{"app":434735,"event_type":"deep","event_properties":'
    return {
        "empty": [b"", b" \r\n\t"],
        "invalid_utf8": [
            json.dumps(example | {"city": "서울"}, ensure_ascii=False).encode("euc-kr", "replace"),
            whole.decode().encode("utf-16"),
        ],
        "invalid_json": [ascii_only[: len(ascii_only) // 2], b"test", whole[:-1] + b",}"],
        "too_deep": [
            head + b'{"a":' * 5000 + b"1" + b"}" * 5001,
            b"[" * 100_000,
            head + b'{"a":' * 64 + b"1" + b"}" * 65,
        ],
        "not_an_object": [b"null", b'"event"', b"42", array([b"7"])],
        "duplicate_key": [
            whole[:-1] + b',"app":100011471}',
            whole[:-1] + b',"\\u0061pp":434735}',
            b'{"uuid":"1",' + whole[1:],
            encode(example | {"uuid": None})[:-1] + b',"device_id":"another"}',
        ],
    }


def _unopened(example: Record) -> dict[str, list[bytes]]:
    """Envelopes of which nothing can be read; those with a bad tail are made where events are."""
    whole = gzipped(lines([encode(example)]))
    nested = whole
    for _ in range(4):
        nested = gzipped(nested)
    return {
        "gzip_invalid": [whole[:10], whole[:2] + b"\x07" + whole[3:]],
        "zlib_invalid": [zlib.compress(encode(example))[:9], b"x\x9c" + b"\xff" * 20],
        "zip_invalid": [b"PK\x03\x04" + whole, b"PK\x05\x06"],
        "kpl_invalid": [KPL_MAGIC + b"\x1a\x00" + bytes(16), KPL_MAGIC],
        "compression_unknown": [bz2.compress(whole), lzma.compress(whole)],
        "envelope_too_deep": [nested],
        "too_large": [_more_than_a_record()],
    }


@cache
def _more_than_a_record() -> bytes:
    """An object of 11 MiB, compressed no better than what is honest may be."""
    noise = Random(1).randbytes(70_000).hex().encode()
    return gzipped(b'{"noise":"%b%b"}' % (noise, b" " * (11 * MIB)))


def _unusable(example: Record) -> dict[str, list[bytes]]:
    def having(key: str, *values: object) -> list[bytes]:
        return [encode(example | {key: value}) for value in values]

    def lacking(*keys: str) -> bytes:
        return encode({name: value for name, value in example.items() if name not in keys})

    return {
        "app_missing": [lacking("app"), *having("app", None)],
        "app_invalid": having("app", True, 434735.0, -1, "", 2**63, "٤٣٤", [434735]),
        "event_type_missing": [lacking("event_type", "user_properties")],
        "event_type_invalid": having("event_type", "", 7, ["Play Song"]),
        "cohort_invalid": [b'{"cohort_id":"","users":[]}', b'{"cohort_id":"gs72ns","in_cohort":1,"users":[]}'],
        "foreign": [
            b'{"hello":"world"}',
            b"{}",
        ],
        "merged_ids": [encode({"scope": 7, "amplitude_id": 1, "merged_amplitude_id": 2})],
        "warehouse_row": [encode({name.upper(): value for name, value in example.items()})],
        "api_request": [
            encode({"api_key": "0" * 32, "events": [{"user_id": "user-1", "event_type": "Play Song"}]}),
            encode({"api_key": "0" * 32, "identification": [{"user_id": "user-1"}]}),
            encode({"user_id": "user-1", "global_user_id": "user-2"}),
        ],
        "deletion": [encode({"user_ids": ["user-1"], "requester": "a@example.com"})],
    }


def unattributed(rng: Random) -> bytes:
    """A user update in the form of the Identify API, which names no project (docs/amplitude.md §2.2)."""
    return encode(
        {"user_id": f"user-{rng.randrange(999)}", "device_id": uuid(rng), "user_properties": {"plan": "pro"}}
    )


def control(example: Record) -> dict[str, list[bytes]]:
    """What is nobody's event: Amplitude's test of the connection, our own events and Braze's coming back."""
    sample = {"event_type": "test_event_type", "user_id": "some user id", "app": "some app id"}
    return {
        "test_record": [encode(sample), encode(example | {"app": "some app id"}), encode([sample])],
        "own_event": [encode(example | {"event_type": "[Notifly] push_delivered"})],
        "appboy_event": [
            encode(example | {"event_type": f"[Appboy] {name}"}) for name in ("Email Opened", "[Custom Event] a")
        ],
    }
