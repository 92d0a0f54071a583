"""Amplitude's profiles, asked of the stand-in, a process of its own: by the command as typed, and by many."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.stack.amplitude.process import running
from lab.stack.amplitude.profiles import PER_MINUTE
from ops.answers.amplitude_profiles import profiles_of
from ops.cli.main import commands
from settings import load, parse
from stores.amplitude.profiles import Found, Limits, Profiles, Source
from stores.amplitude.user_profile import ThrottledError, UnavailableError, User, UserProfileApi, Wanted
from stores.dynamodb import TablesAddress
from stores.profile_limits import ProfileLimits
from stores.profile_sources import ProfileSources
from tests.integration.shop import SHOP, shop

SECRET = "fedcba9876543210canary9876543210"
MINA = {
    "device_id": "d-1",
    "amp_props": {"city": "Seoul", "orders": 12},
    "computations": {"t14bqib": {"name": "ltv", "value": "5000000.0"}, "u2": {"name": "rank", "value": "3"}},
    "cohort_ids": ["gs72ns"],
    "recommendations": {"r1": {"rec_id": "r1", "items": ["kimchi", "bulgogi"], "is_control": True}},
    "propensities": {"0x10x": {"pred_id": "0x10x", "score": 0.5, "pct": 83}},
}


@pytest.fixture
def amplitude(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Folder and address of a stand-in that knows the shop's key and some users."""
    folder = tmp_path / "amplitude"
    with running(folder) as url:
        (folder / "secrets").write_text(f"{SECRET} acme")
        known = {"mina": MINA} | {f"user-{n}": {"amp_props": {"n": n}} for n in range(1_000)}
        (folder / "profiles.json").write_text(json.dumps(known))
        yield folder, url


# --- As typed -------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, dynamodb_endpoint: str, amplitude: tuple[Path, str]) -> Path:
    return shop(tmp_path, dynamodb_endpoint, amplitude[1])


def typed(config: Path, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(commands, ["amplitude-profile", "--config", str(config), *words], input=given)


def test_a_key_is_set_and_a_user_shown(config: Path) -> None:
    done = typed(config, "set", str(SHOP), "--secret-key-file", "-", "--organisation", "acme", given=SECRET)
    assert done.output == "Amplitude's profiles of project 434735 are asked for with key …3210\n"
    shown = typed(config, str(SHOP), "mina", "--recommendation", "r1", "--prediction", "0x10x").output
    assert shown == (
        "  user id            mina\n"
        "  device id          d-1\n"
        "  cohorts            gs72ns\n"
        "  recommended by r1  kimchi, bulgogi (of the control group)\n"
        "  score of 0x10x     0.5\n"
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┓\n"
        "┃ property or computation ┃ value     ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━┩\n"
        "│ city                    │ Seoul     │\n"
        "│ ltv                     │ 5000000.0 │\n"
        "│ orders                  │ 12        │\n"
        "│ rank                    │ 3         │\n"
        "└─────────────────────────┴───────────┘\n"
    )
    of_device = json.loads(typed(config, str(SHOP), "d-1", "--device", "--json").output)
    assert of_device == {
        "user_id": "mina",
        "device_id": "d-1",
        "amp_props": {"city": "Seoul", "orders": 12, "ltv": "5000000.0", "rank": "3"},
        "cohort_ids": ["gs72ns"],
        "recommendations": None,
        "propensities": None,
    }
    unknown = typed(config, str(SHOP), "nobody")
    assert (unknown.exit_code, unknown.output) == (0, "Amplitude has not seen this user in project 434735\n")
    assert typed(config, str(SHOP), "nobody", "--json").output == "null\n"


def test_the_key_is_nowhere_in_clear(config: Path) -> None:
    typed(config, "set", str(SHOP), "--secret-key-file", "-", given=SECRET)
    (stored,) = ProfileSources(load(config).tables_address).list()
    assert SECRET.encode() not in stored.secret_key
    (shown,) = json.loads(typed(config, "show", "--json").output)
    assert (shown["project_id"], shown["key_end"], shown["organisation"]) == (SHOP, "…3210", str(SHOP))
    assert SECRET not in typed(config, "show").output + str(shown) + repr(stored)


@pytest.mark.parametrize(
    ("words", "given", "wrong"),
    [
        (["set", "1", "--secret-key-file", "-"], SECRET, "project 1 is not registered"),
        (["set", str(SHOP), "--secret-key-file", "-"], "canary\n", "- holds no secret key: copy its 32 letters"),
        (["set", str(SHOP), "--secret-key-file", "-", "--region", "eu"], SECRET, "no User Profile API for"),
        ([str(SHOP), "mina"], None, "has no secret key of Amplitude's: amplitude-profile set takes one"),
    ],
)
def test_what_is_wrong_is_one_line(config: Path, words: list[str], given: str | None, wrong: str) -> None:
    told = str(typed(config, *words, given=given).exception)
    assert wrong in told
    assert "\n" not in told
    assert "canary" not in told


def test_a_key_that_amplitude_refuses_is_told_without_it(config: Path, amplitude: tuple[Path, str]) -> None:
    typed(config, "set", str(SHOP), "--secret-key-file", "-", given=SECRET)
    (amplitude[0] / "secrets").write_text("")
    told = str(typed(config, str(SHOP), "mina").exception)
    assert told.startswith("Amplitude refuses the secret key of project 434735 (HTTP 401): copy it from")
    assert SECRET not in told


# --- By many at once ------------------------------------------------------------------------------------------


def profiles(url: str, **limits: Any) -> Profiles:
    return Profiles(lambda _: Source(SECRET, "acme"), UserProfileApi(url, 1, 64), Limits(**limits))


async def looked_up(of: Profiles, users: int, deadline: float = 5) -> list[Found | BaseException]:
    asked = (of.get(SHOP, User(f"user-{n}"), deadline=deadline) for n in range(users))
    return await asyncio.gather(*asked, return_exceptions=True)


def test_a_blast_keeps_the_organisations_limit_and_amplitude_never_has_to_say_so(
    amplitude: tuple[Path, str],
) -> None:
    of = profiles(amplitude[1])
    found = asyncio.run(looked_up(of, 1_000, deadline=2))
    of.close()
    answered = [one for one in found if isinstance(one, Found)]
    # a tenth of a minute's at once, then nine a second for half of the deadline
    assert 60 <= len(answered) <= 60 + 9 * 2
    assert all(one.profile and one.profile.amp_props for one in answered)
    assert {str(one).partition(" of this minute")[0] for one in found if isinstance(one, ThrottledError)} == {
        "organisation acme has used up its requests to Amplitude"
    }


def test_amplitudes_own_limit_ends_what_another_program_has_begun(amplitude: tuple[Path, str]) -> None:
    of = profiles(amplitude[1], per_minute=60_000)
    found = asyncio.run(looked_up(of, PER_MINUTE + 100))
    of.close()
    assert Counter(type(one) for one in found) == {Found: PER_MINUTE, ThrottledError: 100}


def test_processes_share_an_organisations_limit(tmp_path: Path, dynamodb_endpoint: str) -> None:
    address = TablesAddress("eu-west-1", dynamodb_endpoint, f"{tmp_path.name}-")
    apart = [ProfileLimits(address, 600) for _ in range(3)]
    apart[0].create()
    with ThreadPoolExecutor(3) as pool:
        taken = pool.map(lambda one: [one.take("acme", 0) for _ in range(60)], apart)
    begin_tokens, flowing = 60, 9 * 20  # within the 20 s that this may take
    given = [wait for waits in taken for wait in waits if wait is not None]
    assert begin_tokens <= len(given) <= begin_tokens + flowing
    assert set(given) == {0}
    assert apart[0].take("other", 0) == 0
    apart[1].pause("acme", 30)
    assert apart[2].take("acme", 0) is None
    wait = apart[2].take("acme", 60)
    assert wait is not None
    assert 28 < wait <= 31


@pytest.mark.parametrize("fault", ["500 1", "cut 1", "slow=2 1"])
def test_a_fault_of_amplitudes_leaves_what_was_known(amplitude: tuple[Path, str], fault: str) -> None:
    folder, url = amplitude
    of = profiles(url, fresh_seconds=0)

    async def look() -> tuple[Found, Found]:
        before = await of.get(SHOP, User("mina"), deadline=5, wanted=Wanted(computations=("u2", "gone")))
        (folder / "faults").write_text(fault)
        with pytest.raises(UnavailableError, match="try again"):
            await of.get(SHOP, User("user-1"), deadline=0.5)
        return before, await of.get(SHOP, User("mina"), deadline=0.5, wanted=Wanted(computations=("u2", "gone")))

    before, behind = asyncio.run(look())
    of.close()
    assert before.profile
    assert before.profile.amp_props == {"city": "Seoul", "orders": 12, "rank": "3"}
    assert (behind.profile, behind.age > 0) == (before.profile, True)


def test_settings_without_keys_that_seal_are_refused() -> None:
    lake = {"catalog_uri": "sqlite:////nowhere/catalog.db", "warehouse": "file:///nowhere"}
    with pytest.raises(Exception, match=r"neither export.seal_keys_file nor export.seal_kms_key is set"):
        profiles_of(parse({"lake": lake}, "test"))
