"""The command line, `amplitude-bridge`: run everything here, register, look up, explain what is not taken.

Exit codes: 0 done, 1 the numbers are wrong or records are not taken, 2 something is not as it must be (one line on
stderr says what).
"""

import sys

import click
from rich.console import Console

from ops import run as local_run
from ops.cohorts import cohorts
from ops.dead_letters import dead_letters
from ops.diagnose import diagnose
from ops.explain import explain_record
from ops.ledger import ledger
from ops.machine import Ports
from ops.profile import profile
from ops.projects import projects
from ops.put import put
from ops.replay import replay
from ops.rewind import rewind
from ops.submit import submit
from ops.terminal import Commands, one_line_errors
from ops.usage import usage
from ops.usage_explain import explain
from ops.watch import watch


def main() -> None:
    """Run the command; a person's mistake is one line, never a stack trace."""
    with one_line_errors("amplitude-bridge"):
        commands()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """The bridge from Amplitude to Notifly."""


@click.command()
@click.option("--once", is_flag=True, help="Stop after the sample; exit 0 only if every number is right.")
@click.option("--records", default=3200, show_default=True, help="Size of the sample.")
@click.option("--kinesis-port", default=Ports.kinesis, show_default=True)
@click.option("--dynamodb-port", default=Ports.dynamodb, show_default=True)
@click.option("--flink-port", default=Ports.flink_rest, show_default=True)
def run(*, once: bool, records: int, kinesis_port: int, dynamodb_port: int, flink_port: int) -> None:
    """Run the job on local emulators with sample data and show what came of it."""
    ports = Ports(kinesis_port, dynamodb_port, flink_port)
    if not local_run.run(Console(), ports, records, once=once):
        sys.exit(1)


click.Group.add_command(commands, run)  # makes settings of its own
commands.add_command(projects)
commands.add_command(usage)
usage.add_command(explain)
usage.add_command(watch)
commands.add_command(diagnose)
commands.add_command(ledger)
commands.add_command(cohorts)
commands.add_command(profile)
commands.add_command(dead_letters)
dead_letters.add_command(replay)
commands.add_command(explain_record)
commands.add_command(put)
commands.add_command(rewind)
commands.add_command(submit)
