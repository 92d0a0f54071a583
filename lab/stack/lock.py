"""One stack of a name at a time, and the process that holds it."""

import fcntl
import os
from pathlib import Path
from typing import IO

from lab.stack.process import StackError


def take(path: Path, name: str) -> IO[str]:
    """Lock this file for the stack of this name, until it is closed or this process has ended, however it ends.

    Raises StackError, which names the process that holds it.
    """
    path.parent.mkdir(exist_ok=True)
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with lock:
            lock.seek(0)
            msg = (
                f"a stack named {name} is running already, as process {lock.read()}: use that one, or end it first"
            )
        raise StackError(msg) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
