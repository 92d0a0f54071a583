"""Who does something, as tables note it."""

import getpass
import os
import socket


def whoami() -> str:
    """User, machine and process."""
    return f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}"
