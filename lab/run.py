"""`make run`: the whole product on this machine, fed with a sample whose right answer is known.

The answer comes from the generator, which counts what it makes and knows nothing of the job's rules.
"""

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console

from lab import way_back
from lab.proofs import report, verdict
from lab.proofs.report import Report
from lab.proofs.rest import at_rest, balanced, progress_bar
from lab.sample import generator
from lab.sample.generator import Sample, Truth
from lab.sample.others import MISSING, PROJECTS
from lab.sample.registry import create, new_access_key
from lab.stack.flink_client import FINAL_STATES
from lab.stack.local import CONSOLE_ACCOUNT, Stack
from lab.stack.machine import Ports
from lab.stack.patience import Deadline
from lab.stack.process import StackError
from ops.answers.diagnosis import facts
from ops.cli import diagnose
from ops.cli.terminal import one_line_errors, stop_on_signals
from ops.cli.usage import alerts_table
from settings import Settings, load
from stores.alerts import Alerts
from stores.stream import Stream


def run(console: Console, ports: Ports, records: int, *, once: bool) -> bool:
    """Run the stack and the job, feed the sample, show what came of it; True when all numbers are right.

    Unless `once`, everything stays up until Ctrl-C. Raises StackError, StoreError or SettingsError.
    """
    stop_on_signals()
    # a checkpoint is when rows become visible: more often here than in production, for somebody who waits
    with Stack(ports=ports, flink_options={"execution.checkpointing.interval": "5s"}, brief=True) as stack:
        settings = load(stack.write_settings(**stack.start_amplitude()))
        console.print(f"started: {', '.join(f'{name} {s} s' for name, s in stack.ready_after.items())}")
        create(settings)
        (stack.folder / "access-key").write_text(new_access_key(settings).text, encoding="ascii")
        job = stack.submit(stack.settings_path)
        stack.start_watch()
        if not once:
            stack.start_intake()
            password = stack.start_console()
        stack.write_description()
        console.print(f"job {job} submitted; Flink UI: {stack.flink.url}")
        if not once and (prometheus := stack.start_prometheus()):
            console.print(f"Prometheus: {prometheus}")
        made = generator.generate(records)
        _feed(console, settings, made)
        found = at_rest(console, settings, stack, job, made.truth.outcomes)
        right = _conclude(console, stack, found, made.truth) & balanced(console, settings)
        right &= told(console, settings, made.truth.usage)
        right &= way_back.shown(console, settings, stack)
        stack.write_description()
        _explain_what_is_missing(console, settings)
        if not once:
            _stay(console, stack, job, password)
    return right


def _feed(console: Console, settings: Settings, made: Sample) -> None:
    stream = Stream(settings.stream_address)
    with progress_bar(console) as progress:
        task = progress.add_task("records put", total=len(made.puts))
        for acknowledged in stream.put((put.partition_key, put.data) for put in made.puts):
            progress.advance(task, acknowledged)


def _conclude(console: Console, stack: Stack, found: Report, truth: Truth) -> bool:
    report.show(found, console)
    console.print(f"Flink UI: {stack.flink.url}")
    console.print(f"Tables:   {stack.warehouse} (catalog {stack.catalog_uri})", soft_wrap=True)
    console.print("Addresses for other tools: var/stack.json")
    wrong = verdict.differences(found, truth)
    for line in wrong:
        console.print(f"[red]WRONG[/] {line}")
    if not wrong:
        console.print(
            f"[green]RIGHT[/] all numbers equal the count of the {truth.received:,} records fed, which hold "
            f"{truth.outcomes:,} with the parts of envelopes"
        )
    return not wrong


def told(console: Console, settings: Settings, usage: Mapping[tuple[int, str], int]) -> bool:
    """Whether each threshold that the sample has reached, and no other, comes to be told of."""
    table, terms = Alerts(settings.tables_address), {one.project_id: one.terms for one in PROJECTS}
    expected = {(*at, one) for at, events in usage.items() for one in terms[at[0]].reached(events)}
    deadline = Deadline(verdict.SECONDS_TO_BALANCE)
    while True:
        found = table.list()
        right = {one[:3] for one in found if one.notified_at} == expected and len(found) == len(expected)
        if right or deadline.over:
            break
        time.sleep(1)
    console.print(alerts_table(one._asdict() for one in found))
    if not right:
        console.print(f"[red]WRONG[/] alerts: {len(expected)} thresholds were reached: {sorted(expected)}")
    return right


def _explain_what_is_missing(console: Console, settings: Settings) -> None:
    """What support would ask of a project of which one type of events never arrives."""
    project_id, now = PROJECTS[1].project_id, datetime.now(UTC)
    console.print(f"amplitude-bridge diagnose {project_id}: why does {MISSING!r} not arrive?", markup=False)
    console.print("The sample's uploads are a minute old when it is put, some a month: delay counts from there.")
    diagnose.show(project_id, facts(settings, project_id, now - timedelta(days=1), now))


def _stay(console: Console, stack: Stack, job: str, password: str) -> None:
    settings = load(stack.settings_path)
    address = f"http://127.0.0.1:{settings.intake.port}"
    console.print(f"Console: http://127.0.0.1:{settings.console.port} (log in as {CONSOLE_ACCOUNT}, {password})")
    console.print(f"Intake: {address}/docs", soft_wrap=True)
    console.print(_curl(address, stack.folder / "access-key"), markup=False, soft_wrap=True)
    console.print("Running until Ctrl-C.")
    try:
        console.print(f"[red]STOPPED[/] {_end(stack, job)}; the rest runs on until Ctrl-C.", soft_wrap=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("stopping")


def _curl(intake: str, key: Path) -> str:
    """How to send an event to the intake."""
    event = '{"event_type": "order_paid", "user_id": "ann-17"}'
    return f"curl {intake}/v1/batch -H \"Authorization: Bearer $(cat {key})\" -d '{event}'"


def _end(stack: Stack, job: str) -> str:
    """Wait until the job has stopped; how it has."""
    while "jobmanager" in stack.pids():
        with suppress(StackError):  # a busy JobManager may not answer in time
            if (state := stack.flink.job_state(job)) in FINAL_STATES:
                return f"job {job} is {state} {stack.flink.root_cause(job)}".rstrip()
        time.sleep(1)
    return f"job {job} has no JobManager any more"


@click.command()
@click.option("--once", is_flag=True, help="Stop after the sample; exit 0 only if every number is right.")
@click.option("--records", default=3200, show_default=True, help="Size of the sample.")
@click.option("--kinesis-port", "kinesis", default=Ports.kinesis, show_default=True)
@click.option("--dynamodb-port", "dynamodb", default=Ports.dynamodb, show_default=True)
@click.option("--flink-port", "flink_rest", default=Ports.flink_rest, show_default=True)
@click.option("--watch-port", "watch", default=Ports.watch, show_default=True)
def main(*, once: bool, records: int, **ports: int) -> None:
    """Run the job on local emulators with sample data and show what came of it."""
    with one_line_errors("lab.run"):
        right = run(Console(), Ports(**ports), records, once=once)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
