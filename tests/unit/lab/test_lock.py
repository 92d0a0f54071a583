"""One stack of a name at a time."""

import os
from pathlib import Path

import pytest

from lab.stack import lock
from lab.stack.process import StackError


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "local.lock"
    path.write_text("123456")  # of a holder that has ended
    with lock.take(path, "local"), pytest.raises(StackError) as refused:
        lock.take(path, "local")
    assert str(refused.value) == (
        f"a stack named local is running already, as process {os.getpid()}: use that one, or end it first"
    )
    lock.take(path, "local").close()
