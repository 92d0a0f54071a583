"""The stand-in of Amplitude keeps what is documented: seven days, a user's quota, the forms of Identify."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lab.stack.amplitude.folder import Asked, Folder, Reply
from lab.stack.amplitude.uploads import Uploads

EVENT = {"event_type": "[Notifly] Push Sent", "insert_id": "e-1", "user_id": "mina", "device_id": "d-1", "time": 1}


def posted(uploads: Uploads, *events: dict[str, Any]) -> Reply:
    body = {"api_key": "key", "events": events, "options": {"min_id_length": 1}}
    return uploads.upload(Asked("/batch", {}, "", json.dumps(body).encode()))


def test_an_insert_id_of_a_device_is_known_for_seven_days(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("key")
    uploads, days = Uploads(Folder(tmp_path)), 86_400
    for ahead, taken in ((0, 1), (7 * days - 60, 1), (7 * days + 60, 2)):
        (tmp_path / "clock").write_text(str(ahead))
        assert posted(uploads, EVENT).status == 200
        assert len((tmp_path / "taken.jsonl").read_text().splitlines()) == taken
    posted(uploads, EVENT | {"device_id": "d-2"})
    assert len((tmp_path / "taken.jsonl").read_text().splitlines()) == 3


def test_a_user_beyond_a_quota_is_told_apart_from_one_who_is_too_fast(tmp_path: Path) -> None:
    for name, text in (("keys", "key"), ("throttled", "jun"), ("over_quota", "mina")):
        (tmp_path / name).write_text(text)
    reply = posted(Uploads(Folder(tmp_path)), EVENT, EVENT | {"user_id": "jun"}, EVENT | {"user_id": "ari"})
    said = json.loads(reply.content)
    assert (reply.status, said["throttled_events"]) == (429, [0, 1])
    assert (said["throttled_users"], said["exceeded_daily_quota_users"]) == ({"jun": 1}, {"mina": 1})
    assert not (tmp_path / "taken.jsonl").exists()


def test_identify_takes_one_or_many(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("key")
    uploads = Uploads(Folder(tmp_path))

    def identified(**form: str) -> Reply:
        return uploads.identify(Asked("/identify", {}, "", urlencode(form).encode()))

    one = {"user_id": "mina", "user_properties": {"city": "Seoul"}}
    assert identified(api_key="key", identification=json.dumps(one)) == Reply(200, b"success")
    assert identified(api_key="key", identification=json.dumps([one, one])).status == 200
    assert identified(api_key="other", identification="[]").status == 400
    assert identified(api_key="key").status == 400
    assert [json.loads(line) for line in (tmp_path / "identified.jsonl").read_text().splitlines()] == [one] * 3


def test_faults_are_drawn_by_share_and_path(tmp_path: Path) -> None:
    (tmp_path / "faults").write_text("500 0.3\ncut 1 /batch\n")
    folder = Folder(tmp_path)
    drawn = [folder.faults("/batch") for _ in range(1_000)]
    assert all("cut" in one for one in drawn)
    assert 250 < sum("500" in one for one in drawn) < 350
    assert all("cut" not in folder.faults("/identify") for _ in range(10))
