"""What an upgrade starts from: the code of a revision, and the state that is kept of older versions."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from jobs.ingest import counts
from lab.proofs import upgrade
from lab.stack.process import StackError
from ops.release import job_zip
from stores import usage
from udfs.model import TOTALS

CHECKPOINT = b"\x49\x60\x67\x2d"
"""How every `_metadata` of Flink begins."""
UIDS = {
    "ingest": {"decode-records", "first-copy-deduplicate", "usage-sum", "event-store-committer"},
    "export": {"render-records", "first-sent-deduplicate", "count-window", "outbox-committer"},
}


def test_a_revision_is_packaged_as_the_work_tree_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(upgrade.packaged("HEAD", tmp_path / "base.zip")) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    assert {"jobs/ingest/graph.py", "udfs/decode.py", "stores/lake.py", "settings.py"} <= names
    assert {name.partition("/")[0] for name in names} == set(job_zip.CONTENTS)


def test_a_revision_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StackError) as refused:
        upgrade.packaged("no-such-revision", tmp_path / "base.zip")
    assert str(refused.value) == "git ls-tree failed: fatal: Not a valid object name no-such-revision"


def test_state_is_addressed_by_stage_and_kind() -> None:
    vertex = "Source: decode: records -> decode: python -> (count: window -> count: out, ledger: committer)"
    assert upgrade.stateful(vertex) == ["decode-records", "count-window", "ledger-committer"]


def test_sums_keep_their_places() -> None:
    # Flink knows them by position: an exchange of two would not be refused
    assert tuple(TOTALS) == tuple(usage.TOTALS) == ("records", "events", "update_records", "updates")
    assert re.findall(r"SUM\((\w+)\)", counts.SUMS) == ["records", "first_copies"]


FIXTURES = {
    f"{path.parents[1].name} {path.parent.name}": path for path in sorted(upgrade.FIXTURES.glob("*/*/fed.json"))
}


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_a_fixture_is_one_savepoint_small_enough_to_keep(fixture: Path, tmp_path: Path) -> None:
    assert (fixture.parent / "savepoint.xz.b64").stat().st_size < 100_000
    savepoint, fed = upgrade.unpack(fixture.parent, tmp_path)
    assert (savepoint / "_metadata").read_bytes().startswith(CHECKPOINT)
    assert fed == json.loads(fixture.read_text(encoding="utf-8"))
    # only a name as Flink gives it tells the job whose state it is
    assert savepoint.name.startswith("savepoint-")
    assert UIDS[fixture.parents[1].name] <= set(fed["uids"])
    assert "dirty" not in fed["commit"]
