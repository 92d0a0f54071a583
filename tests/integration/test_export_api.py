"""Archives fetched from a stand-in for Amplitude's Export API, a process of its own, with its refusals."""

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.stack.amplitude.export_api import PATH
from lab.stack.amplitude.process import running
from lab.stack.process import free_port
from stores.amplitude.export_api import ExportApi, hours
from stores.amplitude.http import AmplitudeError, Keys, keys
from tests.archives import archive
from tests.builders import PROJECT, event

KEYS = "a1b2c3:d4e5f6"
NINE = datetime(2026, 3, 15, 9, tzinfo=UTC)


@pytest.fixture
def amplitude(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder of a stand-in, and its address."""
    folder = tmp_path / "amplitude"
    with running(folder) as url:
        (folder / "pairs").write_text(KEYS)
        yield folder, f"{url}{PATH}"


def given(tmp_path: Path, text: str = KEYS) -> Keys:
    file = tmp_path / "keys"
    file.write_text(f"{text}\n")
    return keys(file)


def hour(folder: Path, at: datetime, rows: int) -> None:
    made = [event(uuid=f"{at:%H}-{n}", server_upload_time=f"{at:%Y-%m-%d %H:%M:%S.%f}") for n in range(rows)]
    archive(folder / f"{at:%Y%m%dT%H}.zip", made)


def test_each_hour_is_fetched_once(tmp_path: Path, amplitude: tuple[Path, str]) -> None:
    folder, url = amplitude
    hour(folder, NINE, 3)
    hour(folder, NINE + timedelta(hours=2), 2)
    wanted = [NINE + timedelta(hours=n) for n in range(3)]
    into = tmp_path / "fetched"
    found = list(ExportApi(url, given(tmp_path)).fetch(wanted, into))
    assert [path.name for path in found] == [f"2026-03-15_{n:02}.zip" for n in (9, 10, 11)]
    names = [zipfile.ZipFile(path).namelist() for path in found]
    assert names[0] == [f"{PROJECT}/{PROJECT}_2026-03-15_9#{n}.json.gz" for n in (0, 1)]
    assert names[1] == []
    assert into.stat().st_mode & 0o077 == 0
    (folder / "faults").write_text("500 1")
    assert list(ExportApi(url, given(tmp_path)).fetch(wanted, into)) == found


def test_what_is_cut_off_or_busy_is_asked_for_again(tmp_path: Path, amplitude: tuple[Path, str]) -> None:
    folder, url = amplitude
    hour(folder, NINE, 300)
    hour(folder, NINE + timedelta(hours=1), 1)
    faults, waited = folder / "faults", list[float]()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        faults.unlink(missing_ok=True)

    faults.write_text(f"cut 1 {PATH}")
    (found,) = ExportApi(url, given(tmp_path), wait).fetch([NINE], tmp_path / "fetched")
    assert len(zipfile.ZipFile(found).namelist()) == 2
    assert waited == [2.0]

    busy = NINE + timedelta(hours=1)
    faults.write_text("503 1")
    with pytest.raises(AmplitudeError) as refused:
        list(ExportApi(url, given(tmp_path), waited.append).fetch([busy], tmp_path / "fetched"))
    assert str(refused.value) == (
        "Amplitude did not give 2026-03-15T10 in 5 attempts (HTTP 503): repeat the command later"
    )
    assert waited == [2.0, 2.0, 4.0, 8.0, 16.0]
    faults.unlink()
    assert len(list(ExportApi(url, given(tmp_path)).fetch([busy], tmp_path / "fetched"))) == 1


@pytest.mark.parametrize(
    ("status", "says"), [(400, "more than 4 GB"), (504, "too much for one answer"), (403, "refuses the keys")]
)
def test_a_refusal_says_how_to_go_on(tmp_path: Path, amplitude: tuple[Path, str], status: int, says: str) -> None:
    folder, url = amplitude
    (folder / "faults").write_text(f"{status} 1 {PATH}")
    with pytest.raises(AmplitudeError, match=says):
        list(ExportApi(url, given(tmp_path)).fetch([NINE], tmp_path / "fetched"))
    assert not list((tmp_path / "fetched").glob("*.zip"))


def test_wrong_keys_are_told_without_the_keys(tmp_path: Path, amplitude: tuple[Path, str]) -> None:
    wrong = given(tmp_path, "a1b2c3:canary")
    with pytest.raises(AmplitudeError) as refused:
        list(ExportApi(amplitude[1], wrong).fetch([NINE], tmp_path / "fetched"))
    assert str(refused.value) == (
        f"Amplitude refuses the keys of {tmp_path}/keys (HTTP 401): are they of this project, and is its --region "
        "right?"
    )
    assert "canary" not in repr(wrong)


def test_nobody_answers(tmp_path: Path) -> None:
    api = ExportApi(f"http://127.0.0.1:{free_port()}/api/2/export", given(tmp_path), lambda _: None)
    with pytest.raises(AmplitudeError, match="NewConnectionError at http"):
        list(api.fetch([NINE], tmp_path / "fetched"))


@pytest.mark.parametrize("text", ["", "a1b2c3", "a1b2c3:", "canary-canary:x", "ä:x"])
def test_a_file_without_keys_is_told_without_what_it_holds(tmp_path: Path, text: str) -> None:
    with pytest.raises(AmplitudeError) as refused:
        given(tmp_path, text)
    assert str(refused.value) == (
        f"{tmp_path}/keys holds no keys: write API_KEY:SECRET_KEY into it, from the project's settings at "
        "Amplitude"
    )


def test_hours_are_those_that_amplitude_has() -> None:
    now = NINE + timedelta(hours=5, minutes=10)
    assert hours(NINE, NINE + timedelta(hours=2), now) == [NINE + timedelta(hours=n) for n in range(3)]
    for begin, end, says in (
        (NINE, NINE - timedelta(hours=1), "lies before"),
        (NINE, NINE + timedelta(hours=3), "not there yet: .* now up to 2026-03-15T11"),
        (NINE + timedelta(days=90), NINE + timedelta(days=90), "not there yet"),
    ):
        with pytest.raises(AmplitudeError, match=says):
            hours(begin, end, now)
