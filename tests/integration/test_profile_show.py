"""`amplitude-bridge profile show` of profiles in a real DynamoDB."""

import json
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from click.testing import CliRunner, Result

from ops.cli.profile import profile
from stores.dynamodb import TablesAddress
from stores.erasures import Erasure, Erasures, subject_of
from stores.errors import StoreError
from stores.profiles import Profiles, StoredProfile
from stores.project import linked
from stores.projects import Projects
from udfs.profile import Clock, Profile, Update

MINE = (1, "u")


@pytest.fixture
def profiles(tmp_path: Path, dynamodb_endpoint: str) -> Profiles:
    table = Profiles(TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-"))
    table.create()
    return table


def run(table: Profiles, *arguments: str) -> Result:
    """The command against this table."""
    prefix = table.table.name.removesuffix("profiles")
    with NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(f'dynamodb = {{ endpoint = "{table.table.address.endpoint}", table_prefix = "{prefix}" }}\n')
        config.write('lake = { catalog_uri = "sqlite:////tmp/none.db", warehouse = "file:///tmp/none" }\n')
        config.flush()
        return CliRunner().invoke(profile, ["--config", config.name, "show", *arguments])


def store(table: Profiles, *updates: tuple[int, str, str]) -> None:
    """A profile that these uploads (microseconds), sources and properties make."""
    merged = Profile()
    for uploaded, source, properties in updates:
        clock = Clock(uploaded, -1, -1, 49 * 10**24 + uploaded, -1)
        merged.apply(Update(clock, sha256(source.encode()).digest(), source, properties))
    properties, merge = merged.dump()
    assert table.write([StoredProfile(*MINE, 0, properties, merge, 77, "phone")]) == []


def test_a_profile_is_shown_with_where_each_property_came_from(profiles: Profiles) -> None:
    older = (1_000_000, "a", '{"n":1.50,"s":"\u00adé😀"}')
    store(profiles, older, (2_500_000, "$identify", '{"big":123456789012345678901}'))
    assert run(profiles, "1", "u").output == (
        "  project       1\n"
        "  user          u\n"
        "  amplitude id  77\n"
        "  device        phone\n"
        "  version       1\n"
        "┏━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓\n"
        "┃ property ┃ value                 ┃ source    ┃ uploaded                    ┃\n"
        "┡━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩\n"
        "│ big      │ 123456789012345678901 │ $identify │ 1970-01-01T00:00:02.500000Z │\n"
        "│ n        │ 1.50                  │ a         │ 1970-01-01T00:00:01Z        │\n"
        '│ s        │ "\\xadé😀"             │ a         │ 1970-01-01T00:00:01Z        │\n'
        "└──────────┴───────────────────────┴───────────┴─────────────────────────────┘\n"
    )
    text = run(profiles, "1", "u", "--json").output
    assert text.isascii()
    assert ('"value": 1.50,' in text, '"value": 123456789012345678901,' in text) == (True, True)
    whole = json.loads(text)
    from_a = {"source": "a", "uploaded": "1970-01-01T00:00:01Z", "sequence": "49000000000000000001000000"}
    assert whole.pop("properties")[1:] == [
        {"name": "n", "value": 1.5, **from_a},
        {"name": "s", "value": "\u00adé😀", **from_a},
    ]
    assert whole == {"project_id": 1, "user_id": "u", "amplitude_id": 77, "device_id": "phone", "version": 1}


def test_text_of_strangers_does_not_steer_the_terminal(profiles: Profiles) -> None:
    store(profiles, (1_000_000, "\u009b[31m", json.dumps({"[red]x": "\u009b2J" + "v" * 600}, ensure_ascii=False)))
    text = run(profiles, "1", "u").output
    assert "\u009b" not in text
    assert (r"\x9b[31m" in text, "[red]x" in text) == (True, True)
    assert "605 characters" in " ".join(text.replace("│", " ").split())


def test_what_cannot_be_shown_is_one_line(profiles: Profiles) -> None:
    profiles.write(
        [StoredProfile(2, "u"), StoredProfile(1, "v", 0, "{}", '{"version":2,"updates":[],"properties":{}}')]
    )
    projects = Projects(profiles.table.address)
    projects.create()
    unregistered = run(profiles, "1", "u").exception
    assert str(unregistered) == "Amplitude project 1 is not registered: projects add registers it"
    projects.add(linked(1, "acme"))
    unknown, newer = (run(profiles, "1", user_id).exception for user_id in ("u\x1b[2J", "v"))
    assert (type(unknown), type(newer)) == (StoreError, StoreError)
    assert str(unknown) == (
        r"project 1 has no profile of user u\x1b[2J: nothing of this user has changed one yet, or the id is "
        "spelled otherwise"
    )

    assert str(newer).startswith("project 1, user v: the merge text of a profile is of no known layout: ")
    assert str(newer).endswith("; use the job's own version")


def test_of_an_erased_user_it_says_when_that_was(profiles: Profiles) -> None:
    at, erasures = profiles.table.address, Erasures(profiles.table.address)
    Projects(at).create()
    Projects(at).add(linked(1, "acme"))
    erasures.create()
    receipts = (("u", "1", "2026-03-01T10:30:00+00:00", "done"), ("u", "2", "2026-03-02T11:00:00+00:00", "begun"))
    for user_id, name, before, status in (*receipts, ("amplitude 77", "3", "2026-03-03T12:00:00+00:00", "done")):
        others = (subject_of(1, "known-by-number"),) if user_id == "amplitude 77" else ()
        erasures.write(Erasure(1, name, subject_of(1, user_id), status, before, "lena", others=others))
    for user_id, when in (
        ("u", "2026-03-02 11:00 UTC is begun"),
        ("known-by-number", "2026-03-03 12:00 UTC is done"),
    ):
        assert str(run(profiles, "1", user_id).exception) == (
            f"project 1 has no profile of user {user_id}: the erasure of what arrived before {when}, and nothing "
            "has come since: `erase show` has the receipt"
        )
