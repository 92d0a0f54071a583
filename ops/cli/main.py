"""The command line, `amplitude-bridge`: register, submit, look up, explain what is not taken.

Exit codes: 0 done, 1 the numbers are wrong or records are not taken, 2 something is not as it must be (one line on
stderr says what), as when a project is not registered.
"""

import click

from ops.cli.cohorts import cohorts
from ops.cli.dead_letters import dead_letters
from ops.cli.diagnose import diagnose
from ops.cli.explain_record import explain_record
from ops.cli.ledger import ledger
from ops.cli.profile import profile
from ops.cli.projects import projects
from ops.cli.put import put
from ops.cli.record import record
from ops.cli.replay import replay
from ops.cli.rewind import rewind
from ops.cli.submit import submit
from ops.cli.terminal import Commands, one_line_errors
from ops.cli.usage import usage
from ops.cli.usage_explain import explain
from ops.cli.watch import watch


def main() -> None:
    """Run the command; a person's mistake is one line, never a stack trace."""
    with one_line_errors("amplitude-bridge"):
        commands()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="notifly-amplitude", message="%(prog)s %(version)s")
def commands() -> None:
    """The bridge from Amplitude to Notifly."""


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
commands.add_command(record)
commands.add_command(rewind)
commands.add_command(submit)
