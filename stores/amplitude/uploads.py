"""Amplitude's Batch Event Upload API: events of one project in a request (docs/amplitude.md §6)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import urllib3

from stores.amplitude.http import pool

HOSTS: Final = {"us": "https://api2.amplitude.com", "eu": "https://api.eu.amplitude.com"}
"""By the region of Amplitude's data: where events are taken."""
_PATH: Final = "/batch"
_OPTIONS: Final = {"min_id_length": 1}
"""By default Amplitude drops the ids of fewer than 5 characters without a word."""


class Response(NamedTuple):
    """An answer; a status of None is no answer within its time."""

    status: int | None
    body: bytes = b""


class Uploads:
    """Posts events; thread-safe. With an endpoint everything goes there, as to a stand-in of Amplitude."""

    def __init__(self, endpoint: str | None, seconds: float) -> None:
        self._endpoint = endpoint
        self._pool = pool(urllib3.Timeout(total=seconds))

    def post(self, region: str, api_key: str, events: Sequence[Mapping[str, Any]]) -> Response:
        """Send events to a project; what went wrong on the way is no answer, and its text not kept."""
        body = {"api_key": api_key, "events": events, "options": _OPTIONS}
        try:
            answer = self._pool.request(
                "POST",
                (self._endpoint or HOSTS[region]) + _PATH,
                body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
                headers={"content-type": "application/json", "accept": "application/json"},
                redirect=False,  # it would carry the key elsewhere
            )
        except urllib3.exceptions.HTTPError:
            return Response(None)
        return Response(answer.status, answer.data)
