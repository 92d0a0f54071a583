"""Whether bytes hold a user's id, in whatever form they came, and messages without one of their users."""

import gzip
import json

from tests.builders import cohort, encode
from tests.cases import each
from udfs.erase import holder, needles, without

USER = 'mina "밤"@example.com'
WANTED = {"subject": needles(USER)}
RECORD = {"app": 1, "user_id": USER}

HOLDING = [
    json.dumps(RECORD).encode(),
    json.dumps(RECORD, ensure_ascii=False).encode(),
    json.dumps(RECORD, ensure_ascii=False).encode("utf-16-le"),
    json.dumps(RECORD, ensure_ascii=False).encode()[:-1],
    gzip.compress(encode(RECORD) + b"\n" + encode({"app": 2})),
    gzip.compress(encode(RECORD) + b"\n" + encode({"app": 2}) * 999)[:-9],
    encode({"users": [{"name": {"of": [USER]}}]}),
]


@each("payload", HOLDING, ids=range(len(HOLDING)))
def test_an_id_is_found_however_it_is_written(payload: bytes) -> None:
    assert holder(payload, WANTED) == "subject"


@each(
    "payload",
    [
        b"",
        b"\xff",
        encode({"user_id": f"{USER}x"}),
        encode({"user_id": f"x{USER}"}),
        gzip.compress(b"[1]", mtime=0),
    ],
)
def test_a_longer_id_is_another(payload: bytes) -> None:
    assert holder(payload, WANTED) is None


def test_a_number_is_an_id_only_where_a_user_id_stands() -> None:
    wanted = {"subject": needles("1000")}
    assert holder(b'{"user_id":1000,"seconds":5', wanted) == "subject"
    assert holder(b'{"user_id":5,"seconds":1000', wanted) is None
    assert holder(b'{"user_id":10001', wanted) is None


def test_entries_go_by_id_and_the_rest_keeps_its_spelling() -> None:
    payload = b'{"cohort_id":"x","n":1.50,"users":[{"user_id":7},{"user_id":"b","p":1e2},{"user_id":"7"},3]}'
    assert without(payload, {"7"}) == (
        b'{"cohort_id":"x","n":1.50,"users":[{"user_id":"b","p":1e2},3]}',
        ["7", "7"],
    )


@each("payload", [b"", b"[]", b'{"users":3}', b'{"users":[{"user_id":"b"}]}', b'{"users":'])
def test_what_names_nobody_wanted_stays_whole(payload: bytes) -> None:
    assert without(payload, {"a"}) == (payload, [])


def test_a_message_that_only_the_tolerant_reading_can_read_is_cut_too() -> None:
    payload = b"\xef\xbb\xbf" + encode(cohort(users=[{"user_id": "a", "n": 1}, {"user_id": "b"}]))
    cut, gone = without(payload, {"a"})
    assert (json.loads(cut)["users"], gone) == ([{"user_id": "b"}], ["a"])
