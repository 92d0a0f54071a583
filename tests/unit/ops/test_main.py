"""The first page of help is there at once."""

import subprocess
import sys

SLOW = ("boto3", "pandas", "pyarrow", "pydantic", "pyiceberg", "sqlalchemy")
HELP = f"""
import sys
from ops.cli.main import commands
commands(["--help"], standalone_mode=False)
print("imported:", *[name for name in {SLOW} if name in sys.modules])
"""


def test_help_lists_the_commands_and_imports_nothing_that_is_slow() -> None:
    shown = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True).stdout
    assert "  usage           What each project has used of its monthly limit.\n" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.endswith("\nimported:\n")
