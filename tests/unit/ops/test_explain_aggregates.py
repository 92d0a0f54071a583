"""`explain-record` of KPL aggregates: what the Kinesis connector would hand the job of them."""

import json

from click.testing import CliRunner

from ops.cli.explain_record import explain_record
from tests.builders import EVENT_A, encode
from tests.kpl import aggregate_of

A = encode(EVENT_A)


def of_aggregate(payload: bytes) -> tuple[int, str, int, dict[str, int]]:
    found = CliRunner().invoke(explain_record, ["-", "--json"], input=payload)
    tree = json.loads(found.stdout)
    assert tree["form"] == "kpl"
    return found.exit_code, tree["note"], tree["records"], {name: n for name, n in tree["outcomes"].items() if n}


def test_of_an_aggregate_of_nothing_nothing_is_taken() -> None:
    found = CliRunner().invoke(explain_record, ["-"], input=aggregate_of(["k0"], []))
    assert found.exit_code == 0
    assert found.stdout.splitlines()[:2] == [
        "kpl, 24 bytes: 0 records, opened by the connector: `sub_index` is null.",
        "The Kinesis connector opens it, and nothing is in it: the job gets nothing.",
    ]


def test_what_the_connector_drops_of_an_aggregate_is_said() -> None:
    one = A + b"\n" + A
    assert of_aggregate(aggregate_of(["k0"], [(0, None, A), (0, None, one)])) == (
        0, "The connector drops it on any shard but that of its key 'k0'.", 3, {"accepted": 1, "duplicate": 2}
    )  # fmt: skip
    code, note, *_ = of_aggregate(aggregate_of(["k0", "k2"], [(0, None, A), (1, None, A)]))
    assert code == 0
    assert note.startswith("Its records belong to shards by 2 keys (key 'k0', key 'k2'): when one of them")
    _, note, *_ = of_aggregate(aggregate_of(["k0"], [(0, None, A), (0, 0, A)], ["7"]))
    assert note.startswith("Its records belong to shards by 2 keys (key 'k0', hash key 7): when one of them")
    undefined = aggregate_of(["k0"], [(0, None, A), (0, 0, A), (0, None, A)], ["undefined"])
    why = "record 1 names no partition key or hash key that is there"
    assert of_aggregate(undefined) == (
        1,
        f"The Kinesis connector opens it and hands over 1 of its 3 records: {why}.",
        3,
        {"accepted": 1, "dropped": 2},
    )  # fmt: skip


def test_an_aggregate_that_reaches_the_job_whole_is_opened_by_the_job() -> None:
    whole = aggregate_of(["k0"], [(0, None, A)])
    for payload, records in ((whole + b"\n", 1), (whole + whole, 2)):
        found = CliRunner().invoke(explain_record, ["-"], input=payload).stdout.splitlines()[0]
        plural = "s" * (records > 1)
        assert (
            found == f"kpl, {len(payload):,} bytes: {records} record{plural}, numbered from 0 as in `sub_index`."
        )
