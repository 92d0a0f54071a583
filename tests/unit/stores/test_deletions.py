"""Whom Amplitude has deleted, as its User Privacy API says; a stand-in answers."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lab.stack.amplitude.deletions import PATH
from lab.stack.amplitude.server import serving
from stores.amplitude.deletions import deleted
from stores.amplitude.http import AmplitudeError, Keys

PROJECT, TODAY = 434735, date(2026, 3, 15)
GIVEN = Keys("key", "secret", Path("keys"))


def job(day: str, status: str, *numbers: Any, **more: Any) -> dict[str, Any]:
    asked = {"requester": "lena@example.com", "requested_on_day": "2026-02-17"}
    return {"day": day, "status": status, "amplitude_ids": [{"amplitude_id": n, **asked} for n in numbers], **more}


@pytest.fixture
def amplitude(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder of a stand-in that knows the keys, and the address of the list."""
    (tmp_path / "pairs").write_text("key:secret")
    with serving(tmp_path) as url:
        yield tmp_path, f"{url}{PATH}"


def has(folder: Path, *jobs: dict[str, Any]) -> None:
    (folder / "deletions.json").write_text(json.dumps(jobs))


def found(url: str, given: Keys = GIVEN, wait: Callable[[float], None] = lambda _: None) -> dict[int, date]:
    return deleted(url, given, PROJECT, TODAY, wait)


def refusal(url: str, given: Keys = GIVEN) -> str:
    with pytest.raises(AmplitudeError) as refused:
        found(url, given)
    assert "secret" not in str(refused.value)
    return str(refused.value)


def test_users_count_once_the_job_is_done_and_of_this_project(amplitude: tuple[Path, str]) -> None:
    folder, url = amplitude
    has(
        folder,
        job("2026-03-03", "done", 1, "2"),
        job("2026-03-09", "done", 2, app=PROJECT),
        job("2026-03-09", "done", 3, app="100011471"),
        job("2026-03-12", "submitted", 4),
        job("2026-03-14", "staging", 5),
        job("2025-01-01", "done", 6),
    )
    assert found(url) == {1: date(2026, 3, 3), 2: date(2026, 3, 9)}


def test_a_busy_api_is_asked_again(amplitude: tuple[Path, str]) -> None:
    folder, url = amplitude
    has(folder, job("2026-03-03", "done", 1))
    faults, waits = folder / "faults", list[float]()
    faults.write_text("429 1")

    def wait(seconds: float) -> None:
        waits.append(seconds)
        faults.write_text("503 1" if len(waits) == 1 else "")

    assert found(url, wait=wait) == {1: date(2026, 3, 3)}
    assert waits == [2, 4]
    faults.write_text("500 1")
    assert refusal(url).startswith("Amplitude did not give its deletion jobs in 5 attempts (HTTP 500): repeat")


def test_what_will_not_pass_is_one_line_without_a_key(amplitude: tuple[Path, str]) -> None:
    folder, url = amplitude
    has(folder, {"day": "2026-03-01"})
    assert refusal(f"{url}/x").startswith("Amplitude does not give its deletion jobs (HTTP 404) at")
    assert refusal(url).startswith(f"what {url} answers is no list of deletion jobs (")
    wrong = Keys("other", "secret", Path("keys"))
    assert "refuses the keys of keys (HTTP 401): are they" in refusal(url, wrong)
