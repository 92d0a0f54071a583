"""Amplitude's Batch Event Upload and HTTP V2 APIs: events of one project in a request (docs/amplitude.md §6)."""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import urllib3

from stores.amplitude.http import pool

HOSTS: Final = {"us": "https://api2.amplitude.com", "eu": "https://api.eu.amplitude.com"}
"""By the region of Amplitude's data: where events are taken."""
PATHS: Final = {"batch": "/batch", "http_v2": "/2/httpapi"}
"""By API."""
_OPTIONS: Final = b'"options":{"min_id_length":1}'
"""By default Amplitude drops the ids of fewer than 5 characters without a word."""
_AT_ONCE: Final = 256
"""Connections to a host that are kept; a worker has so many requests on their way at most."""


class Response(NamedTuple):
    """An answer; a status of None is no answer within its time."""

    status: int | None
    body: bytes = b""


class Uploads:
    """Posts events; thread-safe. With an endpoint everything goes there, as to a stand-in of Amplitude."""

    def __init__(self, endpoint: str | None, api: str = "batch") -> None:
        """`api` is one of `PATHS`."""
        self._endpoint, self._path = endpoint, PATHS[api]
        self._pool = pool(urllib3.Timeout(), _AT_ONCE)

    def post(self, region: str, api_key: str, events: Sequence[bytes], seconds: float) -> Response:
        """Send events, each a JSON object, to a project; wait so long for each part of the answer.

        What went wrong on the way is no answer, and its text not kept.
        """
        body = b'{"api_key":%b,%b,"events":[%b]}' % (json.dumps(api_key).encode(), _OPTIONS, b",".join(events))
        try:
            answer = self._pool.request(
                "POST",
                (self._endpoint or HOSTS[region]) + self._path,
                body=body,
                headers={"content-type": "application/json", "accept": "application/json"},
                timeout=urllib3.Timeout(total=seconds),
                redirect=False,  # it would carry the key elsewhere
            )
        except urllib3.exceptions.HTTPError:
            return Response(None)
        # Amplitude repeats a key that it refuses: its words go to tables and logs
        return Response(answer.status, answer.data.replace(api_key.encode(), f"…{api_key[-4:]}".encode()))
