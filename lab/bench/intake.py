"""What the intake takes, and what that costs: `python -m lab.bench intake`, two minutes.

One process of it before a stand-in of Kinesis that takes all within 10 ms, beside an application of the same
server that only acknowledges. Load, stand-in and intake share the cores: rates are those of all of them together.
CPU is of the server alone. Latencies are at half of the peak.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.bench.figures import Figure, Say, of
from lab.bench.load import load
from lab.bench.processes import cpu_seconds, peak_mb, session
from lab.stack import emulators, intake
from lab.stack.process import Process, answers, free_port
from settings import load as load_settings
from stores.access_keys import AccessKeys
from stores.project import linked
from stores.projects import Projects

EVENTS = (1, 10, 75)
"""In a request."""
_ROOT = Path(__file__).resolve().parents[2]
_PROJECT, _USERS, _CONNECTIONS, _SECONDS = 434735, 300, 128, 5.0


def measure(say: Say) -> list[Figure]:
    """The bare application, then Amplitude's endpoint and that of batches."""
    found: list[Figure] = []
    with TemporaryDirectory() as name, _started(Path(name)) as (bare, door, key):
        for path, server, port in (("", *bare), ("/amplitude/v1/events", *door), ("/v1/batch", *door)):
            for events in EVENTS:
                say(f"intake: {path or 'only acknowledging'}, {events} events a request")
                found += _figures(
                    f"{path or 'bare'}, {events} a request", server, port, _requests(path, events, key), events
                )
        memory = max(peak_mb(pid) or 0.0 for pid in session(door[0].pid))
        found += of("intake", {"memory of a process": memory}, "MB")
    return found


def _figures(what: str, server: Process, port: int, requests: list[bytes], events: int) -> Iterator[Figure]:
    cpu = _cpu(server)
    peak = load(port, requests, _CONNECTIONS, _SECONDS)
    each = (_cpu(server) - cpu) / peak.requests
    half = load(port, requests, _CONNECTIONS, _SECONDS, peak.per_second / 2)
    refused = peak.refused + half.refused
    yield from of("intake", {f"{what}: requests/s": round(peak.per_second)})
    yield from of("intake", {f"{what}: events/s": round(peak.per_second * events)})
    yield from of(
        "intake", {f"{what}: CPU of a request": 1e6 * each, f"{what}: of an event": 1e6 * each / events}, "µs"
    )
    yield from of("intake", {f"{what}: p50 at half": 1e3 * half.p50, f"{what}: p99 at half": 1e3 * half.p99}, "ms")
    yield from of("intake", {f"{what}: all taken": "ok" if not refused else f"WRONG: {refused} not"})


def _cpu(server: Process) -> float:
    return sum(cpu_seconds(pid) or 0.0 for pid in session(server.pid))


def _requests(path: str, events: int, key: str) -> list[bytes]:
    """Whole requests, each of another user and with ids of its own."""
    made = []
    for user in range(_USERS):
        body = "\n".join(_event(user, number) for number in range(events)).encode()
        head = (
            f"POST {path or '/'} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}"
        )
        made.append(head.encode() + b"\r\n\r\n" + body)
    return made


def _event(user: int, number: int) -> str:
    event = json.loads((_ROOT / "tests/fixtures/golden/web_2025.json").read_text(encoding="utf-8"))
    return json.dumps(event | {"app": _PROJECT, "user_id": f"user-{user}", "uuid": f"{user}-{number}"})


@contextmanager
def _started(folder: Path) -> Iterator[tuple[tuple[Process, int], tuple[Process, int], str]]:
    """The bare application and the intake, each with its port, and an access key."""
    (folder / "mac-keys").write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n", encoding="ascii")
    emulator, running = emulators.dynamodb(_ROOT, free_port()), list[Process]()
    try:
        running.append(Process("dynamodb", emulator.command, folder / "dynamodb.log", os.environ, folder))
        running[0].wait_until(emulator.answers, seconds=60)
        ports = {name: free_port() for name in ("kinesis", "bare", "intake")}
        for name in ("kinesis", "bare"):
            app = [
                f"lab.bench.intake_apps:{name}",
                "--port",
                str(ports[name]),
                "--no-access-log",
                "--lifespan",
                "off",
            ]
            running.append(
                Process(name, [sys.executable, "-m", "uvicorn", *app], folder / name, os.environ, _ROOT)
            )
            running[-1].wait_until(partial(answers, f"http://127.0.0.1:{ports[name]}"), seconds=30)
        config = folder / "job.toml"
        config.write_text(
            f'[dynamodb]\nendpoint = "{emulator.endpoint}"\n[kinesis]\nendpoint = "http://127.0.0.1:{ports["kinesis"]}"\n'
            f'[lake]\ncatalog_uri = "sqlite:///{folder}/catalog.db"\nwarehouse = "file://{folder}/warehouse"\n'
            f'[intake]\nmac_keys_file = "{folder}/mac-keys"\nport = {ports["intake"]}\nworkers = 1\n'
            "requests_per_minute = 10000000\n",
            encoding="utf-8",
        )
        tables = load_settings(config).tables_address
        keys, projects = AccessKeys(tables), Projects(tables)
        keys.create()
        projects.create()
        projects.add(linked(_PROJECT, "acme"))
        key = keys.add(_PROJECT, ["events"], "a benchmark").text
        running.append(intake.start(config, folder / "intake.log"))
        yield (running[2], ports["bare"]), (running[3], ports["intake"]), key
    finally:
        for process in reversed(running):
            process.kill()
