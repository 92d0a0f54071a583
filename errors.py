"""What ends a program in one line: the base of every error that a person, not a programmer, has to mend."""

import errno
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What says that there is no room to write, or may be none."""


class OneLineError(Exception):
    """Something is not as it must be; the message is one line that says what, where and what to do."""


def is_full(error: OSError) -> bool:
    """Whether a file could not be written because there is no room, or may be none."""
    return error.errno in FULL
