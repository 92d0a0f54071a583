"""The Batch Event Upload, HTTP V2 and Identify APIs.

`throttled`, `over_quota` and `dropped` (not taken, without a word) hold a user id a line, `hangs` a key a line
whose requests get no answer as long as it stands there. Events that are taken are lines of `taken.jsonl`, each
with its key; users' updates lines of `identified.jsonl`.

Documented (docs/amplitude.md §6): the limits, the bodies of refusals, `events_ingested`, ids of at least
`min_id_length` characters, events compared by device_id and insert_id for 7 days, Identify's form. HTTP V2 names
the first bad event of each field, Batch all. Assumed: the words of a 413 and of Identify, HTML for a 403, that any
`<script` is what the firewall dislikes, that `events_ingested` counts copies and not what is dropped, and that a
request without events is well. The limits by events a second are not kept.
"""

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from lab.stack.amplitude.folder import Asked, Folder, Reply, said

MOST_EVENTS: Final = 2_000
LONGEST_BODY: Final = {"/batch": 20 * 2**20, "/2/httpapi": 2**20}
_SHORTEST_ID: Final = 5
_REMEMBERED: Final = 7 * 86_400.0
_encode: Final = msgspec.json.Encoder().encode


class Uploads:
    """What was taken since the stand-in was started."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._seen: dict[tuple[str, str, str], float] = {}

    def upload(self, asked: Asked) -> Reply:
        """The answer to a request."""
        if len(asked.body) > LONGEST_BODY[asked.path]:
            return _refusal(413, "Payload too large")
        try:
            given = msgspec.json.decode(asked.body)
            api_key, events = given["api_key"], given["events"]
        except ValueError:
            return _refusal(400, "Invalid JSON request body")
        except (KeyError, TypeError) as error:
            return _refusal(400, "Request missing required field", missing_field=str(error).strip("'"))
        shortest = given.get("options", {}).get("min_id_length", _SHORTEST_ID)
        if refused := self._refused(api_key, asked.body, len(events)):
            return refused
        return self._judged(api_key, events, shortest, names_all=asked.path == "/batch")

    def _refused(self, api_key: str, body: bytes, events: int) -> Reply | None:
        while api_key in self._folder.lines("hangs"):
            time.sleep(0.1)
        if api_key not in self._folder.lines("keys"):
            return _refusal(400, f"Invalid API key: {api_key}")
        if events > MOST_EVENTS:
            return _refusal(413, "Payload too large")
        return Reply(403, b"<html></html>") if b"<script" in body else None

    def _judged(self, api_key: str, events: list[dict[str, Any]], shortest: int, *, names_all: bool) -> Reply:
        bad: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for at, event in enumerate(events):
            for kind, field in _faults(event, shortest):
                if names_all or not bad[kind][field]:
                    bad[kind][field].append(at)
        if bad:
            return _refusal(400, "Request missing required field", **bad)
        slow, over = set(self._folder.lines("throttled")), set(self._folder.lines("over_quota"))
        if throttled := [at for at, event in enumerate(events) if event.get("user_id") in slow | over]:
            users = Counter(events[at]["user_id"] for at in throttled)
            return _refusal(
                429,
                "Too many requests for some devices and users",
                throttled_users={user: n for user, n in users.items() if user in slow},
                exceeded_daily_quota_users={user: n for user, n in users.items() if user in over},
                throttled_events=throttled,
                eps_threshold=30,
            )
        dropped = set(self._folder.lines("dropped"))
        kept = [event for event in events if event.get("user_id") not in dropped]
        self._take(api_key, kept)
        now = int(self._folder.now() * 1000)
        return said(200, {"code": 200, "events_ingested": len(kept), "server_upload_time": now})

    def _take(self, api_key: str, events: list[dict[str, Any]]) -> None:
        now = self._folder.now()
        with self._lock, (self._folder.path / "taken.jsonl").open("ab") as file:
            for event in events:
                # without a device_id Amplitude makes one of the user_id
                one = (api_key, event.get("device_id") or f"of {event['user_id']}", event.get("insert_id", ""))
                if one[2] and now - self._seen.get(one, float("-inf")) < _REMEMBERED:
                    continue
                self._seen[one] = now
                file.write(_encode({"api_key": api_key} | event) + b"\n")

    def identify(self, asked: Asked) -> Reply:
        """The answer to updates of users."""
        given = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if given.get("api_key") not in self._folder.lines("keys"):
            return Reply(400, b"invalid_api_key")
        try:
            found = json.loads(given["identification"])
        except (KeyError, ValueError):
            return Reply(400, b"missing_identification")
        with self._lock, (self._folder.path / "identified.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in (found if isinstance(found, list) else [found]))
        return Reply(200, b"success")


def _faults(event: Mapping[str, Any], shortest: int) -> Iterator[tuple[str, str]]:
    """What is wrong with an event: the map of the answer that has it, and the field."""
    if not event.get("event_type"):
        yield "events_with_missing_fields", "event_type"
    ids = {name: event[name] for name in ("user_id", "device_id") if event.get(name)}
    if not ids:
        yield "events_with_missing_fields", "user_id"
    for name, spelled in ids.items():
        if len(spelled) < shortest:
            yield "events_with_invalid_id_lengths", name
    if type(event.get("time", 0)) is not int:
        yield "events_with_invalid_fields", "time"


def _refusal(status: int, words: str, **more: Any) -> Reply:
    return said(status, {"code": status, "error": words, **more})
