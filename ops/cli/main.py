"""The command line, `amplitude-bridge`: register, submit, look up, explain what is not taken.

Exit codes: 0 done, 1 the numbers are wrong or records are not taken, 2 something is not as it must be (one line on
stderr says what), as when a project is not registered.
"""

from importlib import import_module
from typing import Final

import click

from ops.cli.terminal import Commands, one_line_errors

COMMANDS: Final = {
    "cohorts": "Which project a cohort belongs to, and who is in it.",
    "dead-letters": "What the job did not take, to be read and replayed.",
    "diagnose": "Why only some events of a project arrive.",
    "explain-record": "What the job would do with a record or an archive.",
    "ledger": "Every record accounted for: counted, stored, on the stream.",
    "profile": "What is known of a user.",
    "projects": "Which Notifly project an Amplitude project is linked to.",
    "put": "Put a file on the stream as one record.",
    "record": "What became of a record on the stream.",
    "rewind": "Set the tables back to an older checkpoint.",
    "submit": "Submit the ingest job to a Flink cluster.",
    "usage": "What each project has used of its monthly limit.",
}
"""What each command is for; it is in the module of its name."""


class _Imported(Commands):
    """Commands whose modules are imported when they are named: SDKs take a second, a page of help needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            name = cmd_name.replace("-", "_")
            self.add_command(getattr(import_module(f"ops.cli.{name}"), name))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def main() -> None:
    """Run the command; a person's mistake is one line, never a stack trace."""
    with one_line_errors("amplitude-bridge"):
        commands()


@click.group(cls=_Imported, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="notifly-amplitude", message="%(prog)s %(version)s")
def commands() -> None:
    """The bridge from Amplitude to Notifly."""
