"""The command line, `amplitude-bridge`: its contents by section; each command is in the module of its name.

Exit codes: 0 done, 1 the answer is a bad one, 2 something is not as it must be (one line on
stderr says what), as when a project is not registered, 130 Ctrl-C.
"""

import logging
import sys
from importlib import import_module
from typing import Final

import click

from ops.cli.terminal import Commands, one_line_errors

SECTIONS: Final = {
    "Run the job": {
        "submit": "Submit the ingest job to a Flink cluster.",
        "intake": "Take events over HTTP and put them on the stream.",
        "console": "Pages to connect, watch and understand.",
        "console-account": "Who may come into the console.",
        "doctor": "Whether the installation is well, and what to do.",
        "maintain": "Keep the tables in few files, without what nobody needs.",
        "rewind": "Set the tables back to an older checkpoint.",
    },
    "Projects": {
        "projects": "Which Notifly project an Amplitude project is linked to.",
        "test-connection": "Whether what a customer sends arrives.",
        "cohorts": "Which project a cohort belongs to, and who is in it.",
        "keys": "With which access keys a project's senders come in.",
        "usage": "What each project has used of its monthly limit.",
    },
    "The way back": {
        "destinations": "Which Amplitude projects message events go to.",
        "redeliver": "Put events that wait for Amplitude on the stream again.",
    },
    "Ask": {
        "diagnose": "Why only some events of a project arrive.",
        "profile": "What is known of a user.",
        "amplitude-profile": "What Amplitude knows of a user.",
        "record": "What became of a record on the stream.",
        "ledger": "Every record accounted for: counted, stored, on the stream.",
    },
    "Inputs": {
        "explain-record": "What the job would do with a record or an archive.",
        "put": "Put a file on the stream as one record.",
    },
    "Repair": {
        "dead-letters": "What the job did not take, to be read and replayed.",
        "backfill": "Put a project's history on the stream, from archives.",
        "erase": "Take out what is kept of users, an event or a property.",
    },
}
"""The contents: what each command is for."""
COMMANDS: Final = {name: words for section in SECTIONS.values() for name, words in section.items()}
"""The same without sections; a command is in the module of its name."""


class _Imported(Commands):
    """Commands whose modules are imported when they are named: SDKs take a second, a page of help needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            name = cmd_name.replace("-", "_")
            self.add_command(getattr(import_module(f"ops.cli.{name}"), name))
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:  # which knows of those that were imported
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would make it `Aborted!` with 1
            sys.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), words) for name, words in section.items()])


def main() -> None:
    """Run the command; a person's mistake is one line, never a stack trace."""
    # Iceberg tells of a commit that met another one and is repeated: nobody has to do anything
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)
    with one_line_errors("amplitude-bridge"):
        commands()


@click.group(cls=_Imported, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="notifly-amplitude", message="%(prog)s %(version)s")
def commands() -> None:
    """The bridge from Amplitude to Notifly. `amplitude-bridge COMMAND --help` has examples of each command."""
