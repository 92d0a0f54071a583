"""Waiting until every record has an outcome, and the ledger's residuals, for somebody who looks on."""

from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab.proofs import report, verdict
from lab.proofs.report import Report
from lab.stack.local import Stack
from lab.stack.patience import Deadline
from settings import Settings

_SECONDS_TO_REST: Final = 180


def at_rest(console: Console, settings: Settings, stack: Stack, job: str, outcomes: int) -> Report:
    """Wait until every record has an outcome and the tables agree; what there is when time is over."""
    deadline = Deadline(_SECONDS_TO_REST)
    with progress_bar(console) as progress:
        task = progress.add_task("records with an outcome", total=outcomes)
        while True:
            found = report.gather(settings)
            progress.update(task, completed=found.records)
            if (found.records >= outcomes and found.at_rest) or deadline.over:
                return found
            if stack.flink.living(job) == "RESTARTING":
                progress.console.print(f"[yellow]restarting[/] {stack.flink.root_cause(job)}", highlight=False)
            deadline.pause(1)


def balanced(console: Console, settings: Settings) -> bool:
    """Whether there are none of these; prints them."""
    left = verdict.residuals(settings)
    for one in left:
        console.print(f"[red]RESIDUAL[/] {one}")
    console.print(f"ledger: {len(left):,} residuals between the job's own counts, tables and usage")
    return not left


def progress_bar(console: Console) -> Progress:
    """What is done out of what is to do."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
