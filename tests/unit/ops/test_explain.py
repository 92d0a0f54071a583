"""`explain-record`, word for word: what the job would do with a record or an archive, and why."""

import gzip
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.sample import envelopes
from ops.answers import outcomes, record
from ops.answers.reasons import REPAIRS
from ops.cli.explain_record import explain_record
from ops.cli.main import main
from stores.project import linked
from tests.builders import EVENT_A, EVENT_B, EVENT_C, encode
from tests.cases import each
from tests.intake import KEY, enclosed, keys_file
from udfs import envelope, text
from udfs.envelope import Limits, Part

A, B, APP = encode(EVENT_A), encode(EVENT_B), EVENT_A["app"]
EVERYONE = "No registry was asked: every project counts as linked since ever (see --registry, --project).\n"
ACME = f"As if these projects were linked since ever, and no other: {APP} to acme.\n"

NO_JSON = """\
  meaning  not JSON; when it came in an envelope, the values that could be read were taken
  cause    cut off on the way, written by hand, encoded twice, or the last line of an envelope that is cut off
  remedy   `detail` has the position, or says base64, hexadecimal digits or percent-encoding; ask the sender \
to send the whole record again, encoded once
"""
NAMES = """\
┏━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┓
┃ Amplitude's name ┃ stored as                ┃ records ┃
┡━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━┩
│ session_start    │ amplitude__session_start │       {} │
└──────────────────┴──────────────────────────┴─────────┘
"""


def explained(payload: bytes, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "100"})
    return runner.invoke(explain_record, [*arguments, "-"], input=payload)


def as_json(payload: bytes, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(explained(payload, "--json", *arguments).stdout)
    return found


@each(
    ("payload", "code", "words"),
    [
        (
            A,
            0,
            f"""\
accepted: stored as an event, unless the job has had the same before
  Amplitude's name  session_start
  stored as         amplitude__session_start
  project           {APP}, acme
  month             2025-07
  identity          rung 1: 1|36:3e702190-9dcb-483a-94d8-58e93ce10000|13:session_start
""",
        ),
        (
            encode(EVENT_A | {"location_lat": float("nan"), "groups": [], "event_type": "[b]\x1b[2J"}),
            0,
            rf"""accepted: stored as an event, unless the job has had the same before
  Amplitude's name                   [b]\x1b[2J
  stored as                          amplitude__[b]\x1b[2J
  project                            {APP}, acme
  month                              2025-07
  identity                           rung 1: 1|36:3e702190-9dcb-483a-94d8-58e93ce10000|7:[b]\x1b[2J
  mended: container_expected:groups  A value that should be an object is kept in `extra`; its column is `{{}}`.
  mended: nan_to_null                NaN or Infinity, which JSON does not know, became null.
""",
        ),
        (
            B,
            1,
            """\
quarantined: unknown_project
  project  203138
  detail   no project has registered app 203138
  meaning  no project has registered this `app`
  cause    not registered yet, or a wrong id
  remedy   `amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD`, then \
`dead-letters replay`; its `--dry-run` names UPLOAD
""",
        ),
        (
            encode(EVENT_A | {"event_type": "[Notifly] push_sent"}),
            0,
            f"""\
control: own_event
  project  {APP}
  detail   an event that Notifly has sent to Amplitude
  meaning  its name begins with `[Notifly] `: Notifly itself has sent it to Amplitude
  cause    the customer's destination sends all events, ours among them
  remedy   nothing: taken in, it would go round in circles; the customer may leave it out of the destination
""",
        ),
        (
            A[:-1],
            1,
            f"""\
rejected: invalid_json
  detail   Expecting ',' delimiter: line 1 column {len(A)} (char {len(A) - 1})
{NO_JSON}""",
        ),
        (
            encode(EVENT_A | {"event_type": "$identify"}),
            0,
            f"user update of project {APP}, acme: merged into the profile of user-a@example.com\n",
        ),
        (
            encode(EVENT_A | {"event_type": "$groupidentify"}),
            0,
            f"user update of project {APP}, acme: kept in the history; it changes no user's profile\n",
        ),
    ],
    ids=["event", "mended event", "unknown project", "control", "cut JSON", "user update", "group"],
)
def test_one_record_in_sentences(payload: bytes, code: int, words: str) -> None:
    found = explained(payload, "--project", f"{APP}=acme")
    assert (found.exit_code, found.stdout, found.stderr) == (code, f"{words}\n{ACME}", "")


def test_a_gzip_with_a_copy_in_it() -> None:
    payload = envelopes.gzipped_lines([A, A, encode(EVENT_A | {"user_id": "unknown", "uuid": "u2"})])
    found = explained(payload)
    assert (found.exit_code, found.stdout) == (
        0,
        f"""\
gzip, {len(payload):,} bytes: 3 records, numbered from 0 as in `sub_index`.
All are taken.
┏━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ outcome   ┃ records ┃ first ┃ that is                                                       ┃
┡━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ accepted  │       2 │     0 │ stored as events                                              │
│ duplicate │       1 │     1 │ copies of what comes earlier in this file: each is taken once │
└───────────┴─────────┴───────┴───────────────────────────────────────────────────────────────┘
{NAMES.format(2)}mended: sentinel_id:user_id, 1 record. {REPAIRS["sentinel_id"]}

{EVERYONE}""",
    )


def test_a_bad_tail_leaves_the_good_head() -> None:
    payload = gzip.compress(A + b"\n" + B, 0, mtime=0)[:-20]  # level 0: the cut is where it seems to be
    *_, (_, fault) = envelope.unpack(payload)
    found = explained(payload)
    assert (found.exit_code, found.stdout) == (
        1,
        f"""\
gzip, {len(payload):,} bytes: 3 records, numbered from 0 as in `sub_index`.
Not taken: 2 of 3.
┏━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ outcome  ┃ records ┃ first ┃ that is                     ┃
┡━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ accepted │       1 │     0 │ stored as events            │
│ rejected │       2 │     1 │ kept; unusable as they came │
└──────────┴─────────┴───────┴─────────────────────────────┘
{NAMES.format(1)}
rejected: invalid_json, 1 record, the first is 1
  detail   Unterminated string starting at: line 1 column {len(B) - 28} (char {len(B) - 29})
{NO_JSON}
rejected: gzip_invalid, 1 record, the first is 2
  detail   {fault.detail}
  meaning  a gzip that is cut off, damaged, or has other bytes behind its end; what could be read was taken
  cause    an upload that broke off
  remedy   ask the sender for the whole file again: copies of what was taken are removed

{EVERYONE}""",
    )


def test_an_export_archive_as_json() -> None:
    payload = envelopes.export_zip([A, B, encode(EVENT_A | {"event_type": "[Appboy] x"}), b"7", A])
    found = as_json(payload, "--project", f"{APP}=acme")
    problems, control, filtered = (found.pop(name) for name in ("problems", "control", "filtered"))
    assert filtered == []
    assert found == {
        "bytes": len(payload),
        "registry": ACME.strip(),
        "form": "zip",
        "note": None,
        "records": 5,
        "taken": 3,
        "outcomes": {
            "accepted": 1,
            "duplicate": 1,
            "user_update": 0,
            "cohort": 0,
            "control": 1,
            "filtered": 0,
            "not_linked": 0,
            "quarantined": 1,
            "rejected": 1,
            "dropped": 0,
        },
        "names": [{"event_type": "session_start", "stored_as": "amplitude__session_start", "records": 1}],
        "names_left_out": 0,
        "repairs": {},
        "records_left_out": 0,
        "event": None,
        "rules": {},
    }
    assert problems == [
        {
            "kind": "quarantined",
            "reason": "unknown_project",
            "project_id": 203138,
            "first": 1,
            "detail": "no project has registered app 203138",
            "records": 1,
            "meaning": "no project has registered this `app`",
            "cause": "not registered yet, or a wrong id",
            "remedy": "`amplitude-bridge projects add PROJECT_ID NOTIFLY_PROJECT --linked-at UPLOAD`, then "
            "`dead-letters replay`; its `--dry-run` names UPLOAD",
        },
        {
            "kind": "rejected",
            "reason": "not_an_object",
            "project_id": None,
            "first": 3,
            "detail": "starts with '7'",
            "records": 1,
            "meaning": "JSON, but no object: a bare value, alone or in an array",
            "cause": "a sender's test, or an object that was encoded twice",
            "remedy": "ask for one JSON object per record; `detail` says if it is there as a string or base64",
        },
    ]
    assert [(group["reason"], group["first"]) for group in control] == [("appboy_event", 2)]


RULES = """\
[field_rules]
"ip_address" = "drop"
"user_properties.referrer" = "hash"
"event_properties.emial" = "drop"

[[event_filters]]
event = "session_start"
where = { platform = "iOS" }
"""


def test_rules_are_tried_on_an_archive(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    payload = envelopes.lines([A, encode(EVENT_A | {"uuid": "other", "platform": "iOS"}), B])
    said = explained(payload, "--rules", str(tmp_path / "rules.toml"))
    assert said.exit_code == 0
    mended = "A field rule of the project dropped what stood at this path, or put its SHA-256 there"
    assert f"mended: field_rule:ip_address, 2 records. {mended}" in said.stdout
    assert (
        """
filtered: filtered, 1 record, the first is 1
  project  100011471
  detail   event 'session_start' by its platform
"""
        in said.stdout
    )
    assert (
        """
drop event_properties.emial: 0 records
drop ip_address: 2 records
hash user_properties.referrer: 1 record
keep out event 'session_start' by its platform: 1 record
"""
        in said.stdout
    )
    found = as_json(payload, "--rules", str(tmp_path / "rules.toml"))
    assert found["outcomes"]["filtered"] == len(found["filtered"]) == 1
    assert found["rules"] == {
        "drop event_properties.emial": 0,
        "drop ip_address": 2,
        "hash user_properties.referrer": 1,
        "keep out event 'session_start' by its platform": 1,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no TOML file of rules, and no project's id: [Errno 2] No such file or directory"),
        ("[", "no TOML file of rules, and no project's id: "),
        ('[field_rules]\nuser_id = "drop"', "field rule 'user_id': user_id stays as it is"),
        ("rules = 1", "rules: there are field_rules and event_filters, and nothing else"),
    ],
)
def test_rules_that_are_none_are_refused_in_one_line(
    text: str | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, record = tmp_path / "rules.toml", tmp_path / "a.json"
    record.write_bytes(A)
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(sys, "argv", ["amplitude-bridge", "explain-record", "--rules", str(path), str(record)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"amplitude-bridge: {path}: {words}")
    assert said.count("\n") == 1


def test_one_event_as_json() -> None:
    assert as_json(A)["event"] == {
        "Amplitude's name": "session_start",
        "stored as": "amplitude__session_start",
        "project": f"{APP}, (any)",
        "month": "2025-07",
        "identity": "rung 1: 1|36:3e702190-9dcb-483a-94d8-58e93ce10000|13:session_start",
    }


def test_what_is_listed_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.cli.explain_record.GROUPS", 2)
    monkeypatch.setattr(outcomes, "GROUPS", 2)
    monkeypatch.setattr("ops.cli.explain_record._SHOWN", 1)
    payload = b"\n".join(
        [
            *(encode(EVENT_A | {"event_type": f"e{n}"}) for n in range(4)),
            b'{"app":1}',
            b"{}",
            b"{}",
            b"{7}",
            b"{8}",
        ]
    )
    found = as_json(payload)
    assert (len(found["names"]), found["names_left_out"], found["records_left_out"]) == (2, 2, 2)
    groups = [(group["reason"], group["records"]) for group in found["problems"]]
    assert groups == [("event_type_missing", 1), ("foreign", 2)]
    shown = explained(payload).stdout
    assert "\n… and 3 more names: see --json\n" in shown
    assert "\n… and 1 more reasons and projects: see --json\n" in shown


def test_an_archive_that_no_record_can_hold_is_judged_by_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_BYTES", 10 * 2**10)
    payload = b"\n".join([A, *(b'{"a":"%s"}' % (b"x" * 2**10) for _ in range(10))])
    found = as_json(payload)
    assert (found["form"], found["records"], found["taken"]) == ("lines", 11, 1)
    assert found["note"] == (
        "As one record it does not fit on the stream: its records are judged as if each had come alone."
    )


def test_an_archive_that_the_job_would_not_open_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "Limits", partial(Limits, parts=1_000, steps=100))
    note = "As one record the job would open it in part only ({}): send it in smaller parts."
    assert as_json(b"{}\n" * 1_001)["note"] == note.format("more than 1,000 records")
    payload = b"[]" * 100
    beyond = "brackets, members and fields of aggregates beyond 200 steps, for its size"
    assert as_json(payload + b"[]")["note"] == note.format(beyond.replace("200", "201"))
    assert as_json(payload)["note"] is None
    assert as_json(b"{}\n" * 3)["note"] is None


def test_a_rule_that_raises_is_explained_as_the_job_records_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Part]:
        yield Part(A)
        raise NotImplementedError("zip file version 18.3")  # noqa: EM101

    monkeypatch.setattr(envelope, "unpack", broken)
    found = as_json(envelopes.gzipped_lines([A, B]))
    assert (found["records"], found["taken"]) == (2, 1)
    assert [(group["reason"], group["first"], group["detail"]) for group in found["problems"]] == [
        ("internal_error", 1, "NotImplementedError('zip file version 18.3')")
    ]


def test_the_real_registry_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "job.toml"
    config.write_text('[lake]\ncatalog_uri = "sqlite:////none.db"\nwarehouse = "file:///none"\n')
    known = {
        APP: linked(APP, "acme"),
        EVENT_C["app"]: linked(EVENT_C["app"], "globex"),
        "vip": linked(APP, "acme"),
    }
    monkeypatch.setattr("ops.cli.explain_record.registered", lambda *_: known)
    asked = ("--registry", "--config", str(config))
    assert f"  project           {APP}, acme\n" in explained(A, *asked).stdout
    unknown = explained(B, *asked)
    assert unknown.exit_code == 1
    assert unknown.stdout.endswith(f"\nThe registry that {config} names was asked: it has 2 projects.\n")


@each(
    ("arguments", "message"),
    [
        (["--project", "5acme"], "'5acme' is not ID=NAME, such as 434735=acme\n"),
        (["--project", "5="], "Error: Invalid value for '--project': '5=' is not ID=NAME, such as 434735=acme\n"),
        (["--registry", "--project", "5=acme"], "Error: --registry and --project exclude each other\n"),
    ],
)
def test_a_wrong_option_says_what_is_right(arguments: list[str], message: str) -> None:
    refused = explained(A, *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.endswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "Error: Invalid value for 'FILE': 'missing': No such file or directory\n"),
        (["--registry", "--config", "none.toml", "record"], "amplitude-bridge: none.toml: no such file: "),
    ],
)
def test_what_cannot_be_read_ends_with_two(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "record").write_bytes(A)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["amplitude-bridge", "explain-record", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_an_envelope_of_the_intake_is_its_keys_projects(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    lake = 'catalog_uri = "sqlite:////c.db"\nwarehouse = "file:///w"\n'
    config.write_text(f'[lake]\n{lake}[intake]\nmac_keys_file = "{keys_file(KEY, folder=tmp_path)}"\n')
    body = encode([EVENT_A, EVENT_A | {"app": 1, "uuid": "b"}])
    found = as_json(enclosed(APP, body), "--config", str(config))
    assert (found["form"], found["records"], found["taken"]) == ("intake", 2, 1)
    (problem,) = found["problems"]
    assert (problem["reason"], problem["project_id"]) == ("app_mismatch", APP)
    for_cohorts = enclosed(APP, encode(EVENT_A), scopes=("cohorts",))
    (problem,) = as_json(for_cohorts, "--config", str(config))["problems"]
    assert (problem["reason"], problem["project_id"]) == ("scope_missing", APP)
    config.write_text(f"[lake]\n{lake}")
    (problem,) = as_json(enclosed(APP, body), "--config", str(config))["problems"]
    assert (problem["reason"], problem["project_id"]) == ("intake_mac_invalid", None)
