"""`make run`: the whole product on this machine, fed with a sample whose right answer is known.

The answer comes from the generator, which counts what it makes and knows nothing of the job's rules.
"""

import signal
import threading
import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops import report, sample
from ops.local import Stack
from ops.machine import Ports
from ops.process import StackError
from ops.report import Report
from ops.sample import Sample, Truth
from settings import Settings, load
from stores.projects import Project, Projects
from stores.stream import Stream

SHARDS = 3
SECONDS_TO_REST = 180


def run(console: Console, ports: Ports, records: int, *, once: bool) -> bool:
    """Run the stack and the job, feed the sample, show what came of it; True when all numbers are right.

    Unless `once`, everything stays up until Ctrl-C. Raises StackError, StoreError or SettingsError.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    # a checkpoint is when rows become visible: more often here than in production, for somebody who waits
    with Stack(ports=ports, flink_options={"execution.checkpointing.interval": "5s"}) as stack:
        settings = load(stack.write_settings())
        console.print(f"started: {', '.join(f'{name} {s} s' for name, s in stack.ready_after.items())}")
        _create(settings)
        job = stack.submit(stack.settings_path)
        stack.write_description()
        console.print(f"job {job} submitted; Flink UI: {stack.flink.url}")
        made = sample.generate(records)
        _feed(console, settings, made)
        found = _at_rest(console, settings, stack, job, made.truth)
        right = _conclude(console, stack, found, made.truth)
        if not once:
            _stay(console)
    return right


def _create(settings: Settings) -> None:
    Stream(settings.stream_address).create(SHARDS)
    projects = Projects(settings.tables_address)
    projects.create()
    for one in sample.PROJECTS:
        projects.add(Project(one.project_id, one.notifly_project))


def _feed(console: Console, settings: Settings, made: Sample) -> None:
    stream = Stream(settings.stream_address)
    with _progress(console) as progress:
        task = progress.add_task("records put", total=len(made.puts))
        for acknowledged in stream.put((put.partition_key, put.data) for put in made.puts):
            progress.advance(task, acknowledged)


def _at_rest(console: Console, settings: Settings, stack: Stack, job: str, truth: Truth) -> Report:
    """Wait until every record has an outcome and the tables agree; what there is when time is over."""
    deadline = time.monotonic() + SECONDS_TO_REST
    with _progress(console) as progress:
        task = progress.add_task("records with an outcome", total=truth.received)
        while True:
            found = report.read(settings)
            progress.update(task, completed=found.records)
            if (found.records >= truth.received and found.at_rest) or time.monotonic() > deadline:
                return found
            state = stack.job_state(job)
            if state in {"FAILED", "CANCELED", "FINISHED"}:
                msg = f"job {job} is {state}: {stack.flink.root_cause(job)}"
                raise StackError(msg)
            if state == "RESTARTING":
                progress.console.print(f"[yellow]restarting[/] {stack.flink.root_cause(job)}", highlight=False)
            time.sleep(1)


def _conclude(console: Console, stack: Stack, found: Report, truth: Truth) -> bool:
    report.show(found, console)
    console.print(f"Flink UI: {stack.flink.url}")
    console.print(f"Tables:   {stack.warehouse} (catalog {stack.catalog_uri})", soft_wrap=True)
    console.print("Addresses for other tools: var/stack.json")
    wrong = differences(found, truth)
    for line in wrong:
        console.print(f"[red]WRONG[/] {line}")
    if not wrong:
        console.print(f"[green]RIGHT[/] all numbers equal the count of the {truth.received:,} records fed")
    return not wrong


def differences(found: Report, truth: Truth) -> list[str]:
    """Where what the tables say is not what was fed, a line each."""
    usage = {(u.project_id, u.month): u.events for u in found.usage}
    records: Counter[int] = Counter()
    for total in found.usage:
        records[total.project_id] += total.records
    pairs: list[tuple[str, object, object]] = [
        ("records", found.records, truth.received),
        ("records by project", dict(records), {p: t.records for p, t in truth.projects.items()}),
        ("usage by project and month", usage, truth.usage),
        ("event store rows", dict(found.stored), truth.usage),
        ("event store identities", dict(found.distinct), truth.usage),
        ("rejected by reason", dict(found.rejected), truth.rejected),
        ("quarantined by project", dict(found.quarantined), truth.quarantined),
    ]
    return [f"{name}: found {got}, fed {fed}" for name, got, fed in pairs if got != fed]


def _stay(console: Console) -> None:
    console.print("Running until Ctrl-C.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("stopping")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
