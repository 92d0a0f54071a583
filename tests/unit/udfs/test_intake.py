"""The intake's envelope: only who has a key makes one that holds, and its project owns whatever is inside."""

import gzip
import hmac
import os
from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest

from stores.access_keys import Scope
from stores.project import linked
from stores.rules import FieldRule, Rules
from tests.builders import (
    ARRIVAL,
    MISSING,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    cohort,
    encode,
    event,
    user_update,
)
from tests.cases import each
from tests.intake import KEY, KEYS, OTHER_KEY, enclosed, keys_file, mac_keys
from tests.leaves import Leaf, leaves
from udfs import decode, envelope, intake
from udfs.attribute import Registry
from udfs.envelope import Form
from udfs.intake import MAGIC, Header, MacKeys, MacKeysError
from udfs.model import Kind, Reason, Rejection

HEADER = Header(PROJECT, datetime.fromisoformat("2026-03-15T09:30:33.250001"), "req-1", "amplitude", ("events",))
BODY = b'\x1f\x8b\n {"app":1}\n'
MARCH = datetime.fromisoformat("2026-03-01")
REGISTRY: Registry = {
    PROJECT: linked(PROJECT, "acme", MARCH),
    OTHER_PROJECT: linked(OTHER_PROJECT, "globex", MARCH),
    "theirs": linked(OTHER_PROJECT, "globex", MARCH),
}


def refusal(record: bytes, keys: MacKeys = KEYS) -> str:
    found = intake.unwrap(record, keys)
    assert isinstance(found, Rejection)
    assert found.reason is Reason.INTAKE_MAC_INVALID
    return found.detail


def by_key(
    body: bytes, project_id: int = PROJECT, registry: Registry = REGISTRY, scopes: tuple[str, ...] | None = None
) -> list[Leaf]:
    return leaves(enclosed(project_id, body, scopes=scopes), ARRIVAL.replace(tzinfo=None), registry, KEYS)


def test_what_is_wrapped_comes_out_as_it_went_in() -> None:
    record = intake.wrap(HEADER, BODY, KEYS)
    assert record.startswith(MAGIC)
    assert record.endswith(BODY)
    assert intake.unwrap(record, KEYS) == (HEADER, BODY)
    assert intake.unwrap(intake.wrap(HEADER, b"", KEYS), KEYS) == (HEADER, b"")
    assert envelope.form(record) is Form.INTAKE


def test_an_envelope_of_before_scopes_is_read_and_one_of_later_waits() -> None:
    def made(line: bytes) -> bytes:
        key_id, key = KEYS.newest()
        mac = hmac.new(key, MAGIC + line + b"\n" + BODY, sha256).hexdigest().encode()
        return MAGIC + b" ".join((key_id.encode(), mac, line)) + b"\n" + BODY

    before = b'[434735,"2026-03-15T09:30:33.250001","req-1","amplitude"]'
    assert intake.unwrap(made(before), KEYS) == (HEADER._replace(scopes=None), BODY)
    assert made(before[:-1] + b',["events"]]') == intake.wrap(HEADER, BODY, KEYS)
    assert "start the newer job" in refusal(made(before[:-1] + b',["events"],1]'))


def test_a_record_with_any_bit_changed_does_not_hold() -> None:
    record = intake.wrap(HEADER, BODY, KEYS)
    for at in range(len(MAGIC) * 8, len(record) * 8):
        changed = bytearray(record)
        changed[at // 8] ^= 1 << at % 8
        refusal(bytes(changed))
    for end in range(len(MAGIC), len(record)):
        refusal(record[:end])
    refusal(record + b"\n")


def test_the_end_of_the_header_cannot_move() -> None:
    """MACs of header and body without what is between them would hold for another split of the same bytes."""
    record = intake.wrap(HEADER, b']\n{"app":2}', KEYS)
    refusal(record.replace(b"]\n]\n", b"]]\n"))
    refusal(record.replace(b"]\n]\n", b"]\n"))


def test_old_keys_check_and_the_newest_one_makes() -> None:
    both = mac_keys(OTHER_KEY, KEY)
    assert intake.unwrap(intake.wrap(HEADER, BODY, KEYS), both) == (HEADER, BODY)
    made = intake.wrap(HEADER, BODY, both)
    assert intake.unwrap(made, mac_keys(OTHER_KEY)) == (HEADER, BODY)
    assert refusal(made) == "made with key 66687aad, which intake.mac_keys_file does not hold"


def test_a_key_that_joins_the_file_is_found_without_a_restart(tmp_path: Path) -> None:
    file = keys_file(KEY, folder=tmp_path)
    keys, made = MacKeys(str(file)), intake.wrap(HEADER, BODY, mac_keys(OTHER_KEY))
    assert "does not hold" in refusal(made, keys)
    file.write_bytes(b64encode(KEY) + b"\n" + b64encode(OTHER_KEY))
    os.utime(file, ns=(1, 1))
    assert intake.unwrap(made, keys) == (HEADER, BODY)
    file.write_bytes(b"half a line")
    assert "does not hold" in refusal(intake.wrap(HEADER, BODY, mac_keys(b"k" * 32)), keys)
    file.unlink()
    assert intake.unwrap(made, keys) == (HEADER, BODY)


def test_what_is_wrong_is_said_in_a_line() -> None:
    record = intake.wrap(HEADER, BODY, KEYS)
    assert refusal(record, MacKeys(None)).startswith("no key can check it: intake.mac_keys_file is not set")
    assert refusal(record[:-1]) == "its MAC by key 630dcd29 is another: it was changed on the way, or made up"
    assert refusal(MAGIC + b"{}\n") == "the line behind its first one is not the intake's"
    with pytest.raises(MacKeysError, match=r"intake\.mac_keys_file is not set: name a file"):
        intake.wrap(HEADER, BODY, MacKeys(None))


@each("held", [b"", b"\n", b"key", b64encode(b"short"), b64encode(KEY) + b"\n!", b"\xff"])
def test_a_file_without_keys_is_refused_and_not_shown(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(held)
    with pytest.raises(MacKeysError, match="must hold keys of 32 bytes in base64") as refused:
        MacKeys(str(file))
    assert b64encode(KEY).decode() not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MacKeysError, match=r"keys' cannot be read: No such file or directory"):
        MacKeys(str(tmp_path / "keys"))


@each(
    ("body", "kinds"),
    [
        (encode(event()), [Kind.EVENT]),
        (encode(event(app=MISSING)), [Kind.EVENT]),
        (encode(event(app=None)), [Kind.EVENT]),
        (encode(event(app=str(PROJECT))), [Kind.EVENT]),
        (encode([event(), event(app=MISSING)]), [Kind.EVENT, Kind.EVENT]),
        (encode(event()) + b"\n" + encode(user_update()), [Kind.EVENT, Kind.USER_UPDATE]),
        (gzip.compress(encode([event(), user_update(app=MISSING)])), [Kind.EVENT, Kind.USER_UPDATE]),
        (encode(cohort()), [Kind.COHORT]),
        (encode(cohort(cohort_id="theirs")), [Kind.COHORT]),
    ],
)
def test_all_that_comes_by_a_key_is_its_projects(body: bytes, kinds: list[Kind]) -> None:
    found = by_key(body)
    assert [one.kind for one in found] == kinds
    assert {(one.columns["project_id"], one.columns["notifly_project"]) for one in found} == {(PROJECT, "acme")}


def test_an_event_that_names_no_project_is_the_same_event_as_one_that_does() -> None:
    named, unnamed = by_key(encode(event())), by_key(encode(event(app=MISSING)))
    assert named[0].columns["identity"] == unnamed[0].columns["identity"]


@each(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY),
        (b'{"app":1', Reason.INVALID_JSON),
        (b'{"event_type":"a" "b"}', Reason.INVALID_JSON),
        (b"\xff\xfe", Reason.INVALID_UTF8),
        (b"\x1f\x8b", Reason.GZIP_INVALID),
        (b'{"app":1,"app":434735,"event_type":"a"}', Reason.DUPLICATE_KEY),
        (encode(event(app=OTHER_PROJECT)), Reason.APP_MISMATCH),
        (encode(event(app=UNKNOWN_PROJECT)), Reason.APP_MISMATCH),
        (encode(event(app=OTHER_PROJECT, event_type="[Notifly] push_sent")), Reason.APP_MISMATCH),
        (encode(user_update(app=OTHER_PROJECT)), Reason.APP_MISMATCH),
        (encode(event(app=True)), Reason.APP_INVALID),
        (encode(cohort(users=None)), Reason.COHORT_INVALID),
        (encode({"a": 1}), Reason.FOREIGN),
        (encode(event(app=MISSING, server_upload_time="2026-02-28 23:59:59")), Reason.BEFORE_LINK),
    ],
)
def test_what_is_not_taken_waits_for_the_keys_project(body: bytes, reason: Reason) -> None:
    last = by_key(body)[-1]
    assert (last.reason, last.columns["project_id"]) == (reason, PROJECT)


@each(
    ("scopes", "records", "outcomes"),
    [
        (None, [event(), cohort()], [Kind.EVENT, Kind.COHORT]),
        (("events", "cohorts"), [event(), cohort()], [Kind.EVENT, Kind.COHORT]),
        (("events",), [event(), user_update()], [Kind.EVENT, Kind.USER_UPDATE]),
        (("events",), [event(), cohort()], [Kind.EVENT, Reason.SCOPE_MISSING]),
        (("cohorts",), [event(), user_update(), cohort()], [*[Reason.SCOPE_MISSING] * 2, Kind.COHORT]),
        ((), [event(app=MISSING), {"a": 1}], [Reason.SCOPE_MISSING, Reason.FOREIGN]),
        ((), [event(app=OTHER_PROJECT)], [Reason.APP_MISMATCH]),
    ],
)
def test_a_key_brings_what_its_scopes_are_for(
    scopes: tuple[str, ...] | None, records: list[object], outcomes: list[str]
) -> None:
    found = by_key(encode(records), scopes=scopes)
    assert [one.reason or one.kind for one in found] == outcomes
    assert {one.columns["project_id"] for one in found} == {PROJECT}
    for one, record in zip(found, records, strict=True):
        assert not one.reason or one.columns["payload"] == encode(record)


def test_every_scope_is_for_something() -> None:
    assert {*intake.SCOPE_OF.values()} == {*Scope}


def test_a_mismatch_names_both_projects() -> None:
    (found,) = by_key(encode(event(app=OTHER_PROJECT)))
    assert found.columns["detail"] == "app is 100011471, the access key is one of project 434735"
    assert found.columns["payload"] == encode(event(app=OTHER_PROJECT))


def test_a_project_that_nobody_has_registered_owns_nothing() -> None:
    for body in (encode(event(app=MISSING)), encode(cohort())):
        (found,) = by_key(body, UNKNOWN_PROJECT)
        assert (found.reason, found.columns["project_id"]) == (Reason.UNKNOWN_PROJECT, UNKNOWN_PROJECT)


def test_the_keys_project_says_by_its_rules_what_is_kept() -> None:
    ruled = linked(PROJECT, "acme", MARCH)._replace(rules=Rules(field_rules=(FieldRule("city", "drop"),)))
    for body in (b'{"app":1', encode(event(app=OTHER_PROJECT)), encode({"a": 1})):
        (found, *_) = by_key(body, registry={**REGISTRY, PROJECT: ruled})
        assert found.columns["payload"] is None
        assert found.columns["payload_length"] == len(body)


def test_nothing_of_what_cannot_be_proved_is_taken() -> None:
    forged = enclosed(OTHER_PROJECT, encode(event(app=OTHER_PROJECT)), mac_keys(OTHER_KEY))
    (found,) = leaves(forged, ARRIVAL.replace(tzinfo=None), REGISTRY, KEYS)
    assert (found.kind, found.reason) == (Kind.REJECTED, Reason.INTAKE_MAC_INVALID)
    assert (found.columns["project_id"], found.columns["payload"]) == (None, forged)


def test_inside_another_envelope_it_is_no_envelope_of_the_intake() -> None:
    """So it never says whose a record is: what can be read inside is judged as it stands on the stream."""
    record = enclosed(OTHER_PROJECT, encode(event(app=MISSING)))
    for packed in (gzip.compress(record), enclosed(PROJECT, record), enclosed(PROJECT, gzip.compress(record))):
        found = leaves(packed, ARRIVAL.replace(tzinfo=None), REGISTRY, KEYS)
        assert OTHER_PROJECT not in {one.columns["project_id"] for one in found}


def test_the_request_is_told_of_every_part() -> None:
    parts = list(decode.opened(enclosed(PROJECT, b'[{"a":1},{'), KEYS))
    assert {(part.key_project, part.request_id) for part in parts} == {(PROJECT, "r-1")}
    assert len(parts) > 1
    (forged,) = decode.opened(enclosed(PROJECT, b"[1]", mac_keys(OTHER_KEY)), KEYS)
    assert (forged.key_project, forged.request_id) == (None, None)
