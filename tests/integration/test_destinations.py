"""Destinations as typed, with the stand-in of Amplitude as a process: set, tested, refused, paused, resumed."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.stack.amplitude.process import running
from lab.stack.process import free_port
from ops.cli.main import commands
from settings import Settings, load
from stores.amplitude import Uploads
from stores.destinations import Destinations
from tests.integration.shop import SHOP, shop
from udfs.export.answers import Refused, Waits
from udfs.export.deliver import deliver

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def amplitude(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a stand-in that knows the shop's key."""
    folder = tmp_path / "amplitude"
    with running(folder) as url:
        (folder / "keys").write_text(KEY)
        yield url, folder


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str, amplitude: tuple[str, Path]) -> Path:
    return shop(tmp_path, dynamodb_endpoint, amplitude[0])


def typed(config: Path, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(commands, ["destinations", "--config", str(config), *words], input=given)


def states(config: Path) -> list[tuple[str, str]]:
    return [(one["state"], one["words"]) for one in json.loads(typed(config, "show", "--json").output)]


def taken(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "taken.jsonl").read_text().splitlines()]


def test_a_destination_is_set_tested_refused_and_well_again(config: Path, amplitude: tuple[str, Path]) -> None:
    _, folder = amplitude
    assert states(config) == []
    done = typed(config, "set", str(SHOP), "--api-key-file", "-", "--personal", "phone_number=sha256", given=KEY)
    assert done.output == ("message events go to project 434735 (us, key …cdef); `destinations test` tries it\n")
    assert typed(config, "test", str(SHOP)).output == "Amplitude (us) has taken the test event of project 434735\n"
    (event,) = taken(folder)
    assert (event["event_type"], event["user_id"]) == ("[Notifly] Connection Test", "notifly-connection-test")

    (folder / "keys").write_text("")
    refused = typed(config, "test", str(SHOP))
    assert refused.exit_code == 1
    assert "copy the API key from the project's settings at Amplitude" in refused.output
    assert KEY not in refused.output
    ((state, words),) = states(config)
    assert (state, words.partition(":")[0]) == ("auth_error", "Invalid API key")

    (folder / "keys").write_text(KEY)
    assert typed(config, "test", str(SHOP)).exit_code == 0
    assert states(config) == [("ok", "")]


def test_a_key_that_amplitude_repeats_is_shown_to_nobody(config: Path) -> None:
    wrong = "wrong" + "0" * 27
    typed(config, "set", str(SHOP), "--api-key-file", "-", given=wrong)
    shown = typed(config, "test", str(SHOP)).output + str(states(config))
    assert "Invalid API key: …0000" in shown
    assert wrong not in shown


def test_a_paused_destination_stays_paused_whatever_a_test_says(config: Path) -> None:
    typed(config, "set", str(SHOP), "--api-key-file", "-", given=KEY)
    typed(config, "pause", str(SHOP), "--why", "they migrate")
    assert "`destinations resume` sends again" in typed(config, "test", str(SHOP)).output
    assert states(config) == [("paused", "they migrate")]
    typed(config, "resume", str(SHOP))
    assert states(config) == [("ok", "")]


def test_the_key_is_nowhere_in_clear(config: Path) -> None:
    typed(config, "set", str(SHOP), "--api-key-file", "-", given=KEY)
    settings: Settings = load(config)
    (stored,) = Destinations(settings.tables_address).list()
    shown = typed(config, "show").output + typed(config, "show", str(SHOP), "--json").output + repr(stored)
    assert KEY.encode() not in stored.api_key
    assert KEY not in shown


@pytest.mark.parametrize(
    ("words", "given", "wrong"),
    [
        (["set", "1", "--api-key-file", "-"], KEY, "project 1 is not registered"),
        (["set", str(SHOP), "--api-key-file", "-"], "no key\n", "holds no API key"),
        (["set", str(SHOP), "--api-key-file", "/nowhere"], None, "/nowhere cannot be read: No such file"),
        (["test", str(SHOP)], None, "has no destination: destinations set makes one"),
        (["pause", str(SHOP)], None, "has no destination: destinations set makes one"),
    ],
)
def test_what_is_wrong_is_one_line(config: Path, words: list[str], given: str | None, wrong: str) -> None:
    done = typed(config, *words, given=given)
    assert wrong in str(done.exception)
    assert "\n" not in str(done.exception)


def test_all_kinds_of_events_end_as_they_deserve_and_amplitude_has_each_once(
    amplitude: tuple[str, Path],
) -> None:
    endpoint, folder = amplitude
    (folder / "throttled").write_text("eager")
    kinds = ("fine", "fine", "fine", "no time", "no user", "blocked", "eager")
    events = [event(at, kinds[at % len(kinds)]) for at in range(1_000)]
    uploads = Uploads(endpoint)

    def post(batch: Sequence[bytes]) -> tuple[int | None, bytes]:
        return uploads.post("us", KEY, batch, 10)

    encoded = [json.dumps(one).encode() for one in events]
    found = deliver(encoded, post, lambda: False)
    again = deliver([encoded[at] for at in sorted(found.accepted)], post, lambda: False)
    wanted = Counter(kinds[at % len(kinds)] for at in range(1_000))
    assert (len(found.accepted), len(again.accepted), len(found.later)) == (wanted["fine"],) * 2 + (
        wanted["eager"],
    )
    assert Counter(why.reason for why in found.refused.values()) == {
        Refused.INVALID_FIELD: wanted["no time"],
        Refused.MISSING_FIELD: wanted["no user"],
        Refused.BLOCKED: wanted["blocked"],
    }
    assert sorted(one["insert_id"] for one in taken(folder)) == sorted(
        events[at]["insert_id"] for at in found.accepted
    )


def event(at: int, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "event_type": "[Notifly] Push Sent",
        "insert_id": f"e{at}",
        "user_id": f"u{at}",
        "time": 1,
    }
    changes: dict[str, dict[str, Any]] = {
        "no time": {"time": "now"},
        "no user": {"user_id": None},
        "blocked": {"event_properties": {"campaign_name": "<script>"}},
        "eager": {"user_id": "eager"},
    }
    return made | changes.get(kind, {})


def test_nobody_there_is_no_answer_and_all_wait() -> None:
    uploads = Uploads(f"http://127.0.0.1:{free_port()}")
    found = deliver([b"{}"], partial(uploads.post, "us", KEY, seconds=1), lambda: False)
    assert found.later == {0: (Waits.FAILED, "no answer")}
