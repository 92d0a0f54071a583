"""What a receiver gets, and which secrets are refused. The signature is that of the Standard Webhooks vector."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from ops.metering.webhook import body, channel, secret, signed
from settings import Metering, SettingsError
from stores.alerts import Notification
from stores.destinations import Destination
from tests.cases import each

ONE = Notification(
    "434735/2026-03/90", 434735, "acme", "2026-03", (80, 90), 1_000, 912, "2026-03-01T00:00:00.000+00:00"
)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_body_tells_what_was_reached_and_is_the_same_at_each_attempt() -> None:
    assert json.loads(body(ONE)) == {
        "type": "usage.threshold_reached",
        "timestamp": "2026-03-01T00:00:00.000+00:00",
        "data": {
            "project_id": 434735,
            "notifly_project": "acme",
            "month": "2026-03",
            "thresholds": [80, 90],
            "monthly_limit": 1_000,
            "events": 912,
        },
    }
    again = ONE._replace(attempts=3, retry_at="2026-03-01T00:05:00.000+00:00", last_error="HTTP 503")
    assert body(again) == body(ONE)


def test_a_destination_tells_its_state_and_not_its_key() -> None:
    since = "2026-03-01T00:00:00.000+00:00"
    one = Destination(434735, "eu", b"sealed", "cdef", "auth_error", since, "Invalid API key: …")
    assert one.notification_id == f"434735/{since}"
    assert json.loads(body(one)) == {
        "type": "destination.state_changed",
        "timestamp": since,
        "data": {"project_id": 434735, "region": "eu", "state": "auth_error", "words": "Invalid API key: …"},
    }


@each(
    ("state", "told", "is_news"),
    [
        ("ok", "", False),
        ("auth_error", "", True),
        ("auth_error", "now", False),
        ("ok", "before", True),
        ("ok", "now", False),
    ],
)
def test_a_state_is_news_once_and_a_new_destination_is_none(state: str, told: str, is_news: bool) -> None:
    assert Destination(1, "us", b"", "", state, "now", told=told).is_news is is_news


def test_without_a_webhook_the_log_is_enough() -> None:
    assert channel(Metering())(ONE) == ""


def test_a_secret_is_read_with_the_line_end_of_an_editor(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    assert secret(file) == b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b"whsec_c2hvcnQ=",
        b"whsec_" + b"QUFB" * 22,
        b"whsec_!fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b"\xff\xfe",
    ],
)
def test_what_is_no_secret_is_refused_without_a_word_of_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        secret(file)
    assert str(refused.value) == (
        f"metering.webhook_secret_file = {str(file)!r} holds no secret: it must be whsec_ and 24 to 64 bytes in "
        "base64, such as of: echo whsec_$(openssl rand -base64 32)"
    )


def test_a_secret_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"secret' cannot be read: No such file or directory$"):
        secret(tmp_path / "secret")
