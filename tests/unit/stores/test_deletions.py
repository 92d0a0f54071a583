"""Whom Amplitude has deleted, as its User Privacy API says; a stand-in answers."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lab.stack.privacy_api import serving
from stores.amplitude.deletions import deleted
from stores.amplitude.http import AmplitudeError, Keys

PROJECT, TODAY = 434735, date(2026, 3, 15)
GIVEN = Keys("key", "secret", Path("keys"))
WAITS: list[float] = []


def job(day: str, status: str, *numbers: Any, **more: Any) -> dict[str, Any]:
    asked = {"requester": "lena@example.com", "requested_on_day": "2026-02-17"}
    return {"day": day, "status": status, "amplitude_ids": [{"amplitude_id": n, **asked} for n in numbers], **more}


def found(url: str, given: Keys = GIVEN) -> dict[int, date]:
    return deleted(url, given, PROJECT, TODAY, WAITS.append)


def refusal(url: str) -> str:
    with pytest.raises(AmplitudeError) as refused:
        found(url)
    assert "secret" not in str(refused.value)
    return str(refused.value)


def test_users_count_once_the_job_is_done_and_of_this_project() -> None:
    jobs = [
        job("2026-03-03", "done", 1, "2"),
        job("2026-03-09", "done", 2, app=PROJECT),
        job("2026-03-09", "done", 3, app="100011471"),
        job("2026-03-12", "submitted", 4),
        job("2026-03-14", "staging", 5),
        job("2025-01-01", "done", 6),
    ]
    with serving("key:secret", jobs) as url:
        assert found(url) == {1: date(2026, 3, 3), 2: date(2026, 3, 9)}


def test_a_busy_api_is_asked_again() -> None:
    WAITS.clear()
    with serving("key:secret", [job("2026-03-03", "done", 1)], [429, 503]) as url:
        assert found(url) == {1: date(2026, 3, 3)}
    assert WAITS == [2, 4]
    with serving("key:secret", [], [500] * 9) as url:
        assert refusal(url).startswith("Amplitude did not give its deletion jobs in 5 attempts (HTTP 500): repeat")


def test_what_will_not_pass_is_one_line_without_a_key() -> None:
    with serving("key:secret", [{"day": "2026-03-01"}]) as url:
        assert refusal(f"{url}/x").startswith("Amplitude does not give its deletion jobs (HTTP 404) at")
        assert refusal(url).startswith(f"what {url} answers is no list of deletion jobs (")
        wrong = Keys("other", "secret", Path("keys"))
        with pytest.raises(AmplitudeError, match=r"refuses the keys of keys \(HTTP 401\): are they"):
            found(url, wrong)
