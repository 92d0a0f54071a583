"""The picture of the Flink UI: what it is of stands in the file, and it is of the graph of today."""

import re
import shutil
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab import picture
from lab.stack.process import StackError
from tests.unit.test_docs import stages

# a PNG of no pixels: signature, IHDR, end
BARE = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIHDR" + bytes(17) + b"\0\0\0\0IEND\xaeB\x60\x82"


def test_a_picture_keeps_the_names_of_its_tasks() -> None:
    names = ["Source: decode: records -> decode: python", "usage: sum"]
    labelled = picture.labelled(BARE, names)
    assert picture.tasks_of(labelled) == names
    assert labelled.replace(labelled[33 : 33 + 12 + len("tasks\0" + "\n".join(names))], b"") == BARE
    chunk = labelled[37 : 37 + 4 + len("tasks\0" + "\n".join(names))]
    assert zlib.crc32(chunk) == int.from_bytes(labelled[37 + len(chunk) : 41 + len(chunk)])


def test_a_picture_without_names_is_of_nothing() -> None:
    assert picture.tasks_of(BARE) == []


def test_the_picture_in_the_docs_shows_every_stage_and_no_other() -> None:
    tasks = picture.tasks_of(picture.PICTURE.read_bytes())
    shown = set(re.findall(r"\b([a-z-]+): [a-z]", " ".join(tasks)))
    assert shown == set(stages("ingest")), "the graph has changed: `make run`, and beside it `make picture`"


def test_no_stack_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "_STACK", tmp_path / "stack.json")
    done = CliRunner().invoke(picture.main, [])
    assert done.exit_code == 2
    assert done.stderr == (
        "picture: no stack is running here: start `make run`, wait for `Running until Ctrl-C`, then repeat this\n"
    )


def test_a_missing_browser_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StackError, match=r"^Chromium is not installed: `apt-get install chromium` on Debian"):
        picture._seen("http://127.0.0.1:1")
