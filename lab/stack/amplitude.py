"""A stand-in for Amplitude's Batch Event Upload and HTTP V2 APIs, as a process of its own.

python -m lab.stack.amplitude PORT FOLDER

FOLDER holds what it is told and what it tells: `keys`, a project's API key a line; `throttled`, a user id a line;
`fault`, a status that all requests get until the file is gone. Events that it has taken are lines of
`taken.jsonl`, each with its key. All files are read anew for each request.

Documented (docs/amplitude.md §6): the limits, the bodies of refusals, `events_ingested`, ids of at least
`min_id_length` characters, events compared by device_id and insert_id. HTTP V2 names the first bad event of each
field, Batch all. Assumed: the words of a 413, HTML for a 403, and that any `<script` is what the firewall
dislikes. The 7 days after which Amplitude forgets an insert_id do not pass here.
"""

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

API_KEY: Final = "0123456789abcdef0123456789abcdef"
"""Of the sample's projects."""
MOST_EVENTS: Final = 2_000
LONGEST_BODY: Final = {"/batch": 20 * 2**20, "/2/httpapi": 2**20}
_SHORTEST_ID: Final = 5


class Reply(NamedTuple):
    """A status and what is said."""

    status: int
    said: Mapping[str, Any]


class Amplitude:
    """What a stand-in knows: a folder, and the events that it has taken since it was started."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._seen: set[tuple[str, str, str]] = set()

    def upload(self, path: str, body: bytes) -> Reply:
        """The answer to a request."""
        if fault := self._lines("fault"):
            return _refusal(int(fault[0]), "told to")
        if len(body) > LONGEST_BODY[path]:
            return _refusal(413, "Payload too large")
        try:
            asked = json.loads(body)
            api_key, events = asked["api_key"], asked["events"]
        except ValueError:
            return _refusal(400, "Invalid JSON request body")
        except (KeyError, TypeError) as error:
            return _refusal(400, "Request missing required field", missing_field=str(error).strip("'"))
        shortest = asked.get("options", {}).get("min_id_length", _SHORTEST_ID)
        return self._read(api_key, events, shortest, names_all=path == "/batch")

    def _read(self, api_key: str, events: list[dict[str, Any]], shortest: int, *, names_all: bool) -> Reply:
        if api_key not in self._lines("keys"):
            return _refusal(400, f"Invalid API key: {api_key}")
        if len(events) > MOST_EVENTS:
            return _refusal(413, "Payload too large")
        if "<script" in json.dumps(events):
            return Reply(403, {})
        return self._judged(api_key, events, shortest, names_all=names_all)

    def _judged(self, api_key: str, events: list[dict[str, Any]], shortest: int, *, names_all: bool) -> Reply:
        bad: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for at, event in enumerate(events):
            for kind, field in _faults(event, shortest):
                if names_all or not bad[kind][field]:
                    bad[kind][field].append(at)
        if bad:
            return _refusal(400, "Request missing required field", **bad)
        known = set(self._lines("throttled"))
        if throttled := [at for at, event in enumerate(events) if event.get("user_id") in known]:
            users = Counter(events[at]["user_id"] for at in throttled)
            words = "Too many requests for some devices and users"
            return _refusal(429, words, throttled_users=users, throttled_events=throttled, eps_threshold=30)
        self._take(api_key, events)
        return Reply(200, {"code": 200, "events_ingested": len(events), "server_upload_time": _milliseconds()})

    def _take(self, api_key: str, events: list[dict[str, Any]]) -> None:
        with self._lock, (self._folder / "taken.jsonl").open("a", encoding="utf-8") as file:
            for event in events:
                # without a device_id Amplitude makes one of the user_id
                seen = (api_key, event.get("device_id") or f"of {event['user_id']}", event.get("insert_id", ""))
                if not seen[2] or seen not in self._seen:
                    self._seen.add(seen)
                    file.write(json.dumps({"api_key": api_key} | event) + "\n")

    def _lines(self, name: str) -> list[str]:
        try:
            return (self._folder / name).read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []


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
    return Reply(status, {"code": status, "error": words, **more})


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    amplitude: Amplitude

    def do_GET(self) -> None:
        """Say that it is there."""
        self._answer(Reply(200, {}))

    def do_POST(self) -> None:
        """Take events, or say why not."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = self.path in LONGEST_BODY
        self._answer(self.amplitude.upload(self.path, body) if known else _refusal(404, "Not Found"))

    def _answer(self, reply: Reply) -> None:
        content = json.dumps(reply.said).encode() if reply.said else b"<html></html>"
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: a line a request is too much."""


def main() -> None:
    """Serve until ended."""
    port, folder = sys.argv[1:]
    handler = type("Handler", (_Handler,), {"amplitude": Amplitude(Path(folder))})
    ThreadingHTTPServer(("127.0.0.1", int(port)), handler).serve_forever()


if __name__ == "__main__":
    main()
