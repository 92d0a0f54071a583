"""Where alerts go: a signed webhook, or the log alone.

Requests are signed as https://www.standardwebhooks.com has it, so receivers verify them with a library: headers
`webhook-id`, `webhook-timestamp` and `webhook-signature`. The id is the same at each attempt: the idempotency key.
"""

import hmac
import json
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3

from settings import Metering, SettingsError
from stores.alerts import Notification
from stores.destinations import Destination

Channel = Callable[[Notification | Destination], str]
"""Sends a notification: an empty text when it is acknowledged, else why it is not."""


def channel(settings: Metering) -> Channel:
    """The channel that the settings name. Raises SettingsError when the secret cannot be used."""
    if settings.webhook_url is None or settings.webhook_secret_file is None:
        return _log_alone
    return Webhook(
        settings.webhook_url, secret(Path(settings.webhook_secret_file)), settings.webhook_timeout_seconds
    )


def _log_alone(_: Notification | Destination) -> str:
    return ""  # each claim is logged whatever the channel


def secret(path: Path) -> bytes:
    """The key in a file that holds `whsec_` and 24 to 64 bytes in base64. Raises SettingsError that hides it."""
    try:
        scheme, _, text = path.read_text(encoding="ascii").strip().partition("_")
        key = b64decode(text, validate=True)
    except OSError as error:
        msg = f"metering.webhook_secret_file = {str(path)!r} cannot be read: {error.strerror}"
        raise SettingsError(msg) from None
    except (UnicodeDecodeError, Base64Error):
        scheme, key = "", b""
    if scheme != "whsec" or not 24 <= len(key) <= 64:
        msg = (
            f"metering.webhook_secret_file = {str(path)!r} holds no secret: it must be whsec_ and 24 to 64 bytes "
            "in base64, such as of: echo whsec_$(openssl rand -base64 32)"
        )
        raise SettingsError(msg)
    return key


class Webhook:
    """Posts notifications to one URL; thread-safe."""

    def __init__(self, url: str, key: bytes, timeout_seconds: float) -> None:
        self._url, self._key, self._seconds = url, key, timeout_seconds
        # an answer other than 2xx is no acknowledgement, a redirect neither; the caller tries again
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)
        )

    def __call__(self, one: Notification | Destination) -> str:
        """Send it: an empty text when the receiver has acknowledged with 2xx, else why not; never the URL."""
        content = body(one)
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=content,
                headers=signed(self._key, one.notification_id, int(time.time()), content),
                redirect=False,
                preload_content=False,  # what it says besides does not matter
            )
            answer.close()
        except urllib3.exceptions.NewConnectionError:
            return "no connection"
        except urllib3.exceptions.TimeoutError:
            return f"no answer within {self._seconds:g} s"
        except urllib3.exceptions.HTTPError as error:
            return f"not reached: {type(error).__name__}"  # its text has the URL, which may hold a token
        return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"


def body(one: Notification | Destination) -> bytes:
    """A notification, or the state of a destination, as JSON: the same bytes at each attempt."""
    if isinstance(one, Destination):
        state = {name: getattr(one, name) for name in ("project_id", "region", "state", "words")}
        return _message("destination.state_changed", one.since, state)
    data: dict[str, Any] = {
        "project_id": one.project_id,
        "notifly_project": one.notifly_project,
        "month": one.month,
        "thresholds": one.thresholds,
        "monthly_limit": one.monthly_limit,
        "events": one.events,
    }
    return _message("usage.threshold_reached", one.claimed_at, data)


def _message(kind: str, timestamp: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "timestamp": timestamp, "data": data}, separators=(",", ":")).encode()


def signed(key: bytes, notification_id: str, timestamp: int, content: bytes) -> dict[str, str]:
    """The headers of a request; `timestamp` in seconds since 1970."""
    message = b".".join((notification_id.encode(), str(timestamp).encode(), content))
    return {
        "content-type": "application/json",
        "webhook-id": notification_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(hmac.digest(key, message, 'sha256')).decode()}",
    }
