"""Archives of events: what is read of them, in which order, and what one that cannot be read says."""

import gzip
import re
import zipfile
from pathlib import Path

import pytest

from stores.archives import ArchiveError, members
from stores.lake_address import LakeAddress
from tests.archives import add

LAKE = LakeAddress("sqlite:////nowhere", "file:///nowhere", "amplitude", None, "ap-northeast-2")
LONGEST = 100


def lines(source: Path) -> list[bytes]:
    return [line for one in members([str(source)], LAKE) for line in one.lines(LONGEST)]


def refusal(source: Path) -> str:
    with pytest.raises(ArchiveError) as refused:
        lines(source)
    return str(refused.value).replace(str(source), "ARCHIVE")


def test_hours_of_an_archive_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for name in ("1_2026-03-01_10#0", "1_2026-03-01_9#10", "1_2026-03-01_9#2"):
            add(made, f"1/{name}.json.gz", [name.encode()])
        made.writestr("1/", "")
    found = [b"1_2026-03-01_9#2", b"1_2026-03-01_9#10", b"1_2026-03-01_10#0"]
    assert lines(tmp_path / "a.zip") == found


def test_a_folder_has_files_of_every_form_and_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1_2026-03-01_1#0.json").write_bytes(b'{"a":1}\r\n{"a":2}')
    (tmp_path / "1_2026-03-01_2#0.json.gz").write_bytes(gzip.compress(b'{"a":3}\n'))
    (tmp_path / "-7_2026-03-01_2.json.gz").write_bytes(gzip.compress(b'{"merged_amplitude_id":3}\n'))
    (tmp_path / "read.me").write_text("no archive")
    assert lines(tmp_path) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_the_mark_changes_with_what_a_file_holds(tmp_path: Path) -> None:
    marks = set()
    for text in (b"{}", b"[]", b"{}"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
            add(made, "1.json.gz", [text])
        marks |= {one.mark for one in members([str(tmp_path / "a.zip")], LAKE)}
    assert len(marks) == 2


def test_a_longer_line_is_given_in_part(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a":"' + b"x" * 1000 + b'"}\n{}\n')
    first, second = lines(tmp_path / "a.json")
    assert (len(first), second) == (LONGEST + 1, b"{}")


def test_what_is_no_archive_is_told_in_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as made:
        add(made, "1.json.gz", [b'{"a":%d}' % n for n in range(1000)])
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:-30])
    (tmp_path / "other.zip").write_bytes(b"%PDF-1.4")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert refusal(tmp_path / "cut.zip").startswith("ARCHIVE is a zip that is cut off or damaged (")
    assert refusal(tmp_path / "other.zip") == (
        "ARCHIVE is no archive of events: neither a zip nor a gzip nor lines of JSON"
    )
    assert lines(tmp_path / "empty.zip") == []
    assert refusal(tmp_path / "away.zip") == "ARCHIVE: there is no such file or folder"


def test_a_file_that_is_cut_off_gives_what_comes_before(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"a":%d}\n' % (n * 7919) for n in range(9000)))
    (tmp_path / "a.json.gz").write_bytes(whole[: len(whole) // 2])
    (one,) = members([str(tmp_path / "a.json.gz")], LAKE)
    found = one.lines(LONGEST)
    assert next(found) == b'{"a":0}'
    with pytest.raises(ArchiveError) as refused:
        list(found)
    assert re.search(r"is cut off or damaged behind line [\d,]+ \(.*\): get the file again", str(refused.value))
