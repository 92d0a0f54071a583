"""The parsing cases of JSONTestSuite: what is JSON is read, what is none becomes a dead letter."""

import json
from hashlib import sha256
from pathlib import Path

from stores.project import linked
from tests.builders import ARRIVAL, PROJECT
from tests.cases import each
from tests.jsontestsuite import cases
from tests.leaves import Leaf, leaves
from udfs.model import Kind, Reason

ROOT = Path(__file__).resolve().parents[3]
# what `export LC_ALL=C; sha256sum * | sha256sum` prints in the suite's own folder `test_parsing`
SUITE = "abc15ec8c3df7ff6fa771b051a8950012403b241af2688e82374e0bcafcdd21c"
TABLE = ROOT / "docs" / "jsontestsuite.md"
ACME = {PROJECT: linked(PROJECT, "acme")}

CASES = dict(cases())
NOT_JSON = {Reason.EMPTY, Reason.INVALID_UTF8, Reason.INVALID_JSON, Reason.TOO_DEEP}
# no JSON by the suite, and read all the same
READ = {
    "n_number_NaN": "Python's json writes it in a sender: null with a repair (docs/amplitude.md §8.3)",
    "n_number_infinity": "as NaN",
    "n_number_minus_infinity": "as NaN",
    "n_structure_object_with_trailing_garbage": "what stands behind an object is one more record",
    **dict.fromkeys(
        (
            "n_array_1_true_without_comma",
            "n_array_comma_after_close",
            "n_array_comma_and_number",
            "n_array_double_comma",
            "n_array_double_extra_comma",
            "n_array_extra_comma",
            "n_array_inner_array_no_comma",
            "n_array_missing_value",
            "n_array_number_and_comma",
            "n_array_number_and_several_commas",
        ),
        "the values of an array are found whatever commas stand between them",
    ),
}


def judged(payload: bytes) -> list[Leaf]:
    """What the job makes of a record."""
    return leaves(payload, ARRIVAL.replace(tzinfo=None), ACME)


def named(prefix: str) -> list[str]:
    return [name for name in CASES if name.startswith(prefix)]


def test_the_pack_is_complete() -> None:
    assert [len(named(prefix)) for prefix in ("y_", "n_", "i_")] == [95, 188, 35]
    assert len(CASES) == 318
    assert len(CASES["n_structure_100000_opening_arrays"]) == 100_000
    assert len(CASES["n_structure_open_array_object"]) == 250_001


def test_the_pack_has_the_bytes_of_the_suite() -> None:
    files = {f"{name}.json": case for name, case in CASES.items()}
    lines = "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    assert sha256(lines.encode()).hexdigest() == SUITE


@each("name", named("y_"))
def test_what_is_json_is_read(name: str) -> None:
    reasons = {leaf.reason for leaf in judged(CASES[name])}
    assert reasons <= {Reason.EMPTY} if not CASES[name].strip(b"[] \n") else not reasons & NOT_JSON
    assert Reason.INTERNAL_ERROR not in reasons


def test_what_is_no_json_becomes_a_dead_letter_with_its_bytes() -> None:
    for name in named("n_"):
        found = judged(CASES[name])
        assert found, name
        assert all(leaf.kind == Kind.REJECTED and leaf.payload in CASES[name] for leaf in found), name
        assert (name in READ) != any(leaf.reason in NOT_JSON for leaf in found), name


def test_as_a_property_each_case_is_an_event_just_when_the_whole_is_json() -> None:
    """The quick way keeps an object's bytes: it may not take what the careful way would not."""
    wrong = [
        name for name, case in CASES.items() if {leaf.kind for leaf in judged(around(case))} != kinds_of(case)
    ]
    assert wrong == []


def around(case: bytes) -> bytes:
    return b'{"app":%d,"event_type":"a","event_properties":{"a":%s}}' % (PROJECT, case)


def kinds_of(case: bytes) -> set[str]:
    """What an event with this property becomes, by Python's parser."""
    try:
        json.loads(around(case).decode())
    except json.JSONDecodeError as error:
        # a whole object before the rest is taken
        return {"rejected", "event"} if error.msg == "Extra data" else {"rejected"}
    except (UnicodeDecodeError, RecursionError):
        return {"rejected"}
    return {"rejected"} if case.startswith(b"[" * 500) else {"event"}


def table() -> str:
    """Our verdict on the cases that each parser may judge as it likes."""
    lines = []
    for name in named("i_"):
        reasons = {str(leaf.reason) for leaf in judged(CASES[name])}
        verdict = "refused" if reasons & NOT_JSON else "read"
        lines.append(f"| {name} | {verdict} | `{'`, `'.join(sorted(reasons))}` |\n")
    return "".join(lines)


def test_the_table_has_our_verdict_on_every_free_case() -> None:
    assert TABLE.read_text(encoding="utf-8").endswith(f"| name | verdict | reason |\n|---|---|---|\n{table()}")
