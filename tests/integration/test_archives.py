"""Archives on an object store: below a prefix, beside other objects, and where there are none."""

from pathlib import Path

import pytest

from lab.stack import emulators
from stores.archives import ArchiveError, members
from stores.lake_address import LakeAddress
from tests.archives import archive
from tests.builders import event

REGION = "ap-northeast-2"


def test_archives_below_a_prefix_are_read(tmp_path: Path, objects_port: int) -> None:
    store = emulators.s3(objects_port, REGION)
    lake = LakeAddress("sqlite:////nowhere", "s3://nowhere", "x", f"http://127.0.0.1:{objects_port}", REGION)
    for day in (1, 2, 11):
        made = archive(
            tmp_path / "a.zip", [event(uuid=f"{day}", server_upload_time=f"2026-03-{day:02} 09:00:00.000000")]
        )
        with store.open_output_stream(f"{emulators.BUCKET}/exports/march-{day}.zip") as out:
            out.write(made.read_bytes())
    with store.open_output_stream(f"{emulators.BUCKET}/exports/read.me") as out:
        out.write(b"no archive")

    def days(prefix: str) -> list[str]:
        found = members([f"s3://{emulators.BUCKET}/{prefix}"], lake)
        return [one.inside.split("_")[1][-2:] for one in found for _ in one.lines(10_000)]

    assert days("exports") == ["01", "02", "11"]
    assert days("exports/march-1") == ["01", "11"]
    assert days("exports/march-2.zip") == ["02"]
    assert days("nothing/there") == []
    assert members(["s3://no-such-bucket/exports"], lake) == []
    with pytest.raises(ArchiveError, match=r"http://x/y: give a file, a folder or s3://bucket/prefix"):
        members(["http://x/y"], lake)
