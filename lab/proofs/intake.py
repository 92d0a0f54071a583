"""`python -m lab.proofs.intake`: what the intake has acknowledged is on the stream, whoever is killed meanwhile.

Senders post events, each again under the same id until it is acknowledged. Meanwhile the intake, one of its
processes or the emulator of Kinesis is killed with -9, or the emulator hangs, over and over. A proxy before the
emulator notes what Kinesis has taken, for an emulator that is killed forgets it. In the end all that was
acknowledged must be there.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, NamedTuple, Self

import click
import msgspec
from rich.console import Console
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from lab.stack import emulators, intake
from lab.stack.emulators import Emulator
from lab.stack.patience import scaled, wait_until
from lab.stack.process import Process, free_port
from lab.stack.proxy import Proxy, Request
from ops.cli.terminal import one_line_errors, stop_on_signals
from settings import Settings, load
from stores.access_keys import AccessKeys
from stores.stream import Stream
from udfs.intake import Header, MacKeys, unwrap

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final = 434735
_SENDERS, _USERS = 16, 40
_MAC_KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Result(NamedTuple):
    """What a proof came to."""

    strikes: Counter[str]
    acknowledged: int
    repeated: int
    """requests that had no good answer, and were sent again"""
    copies: int
    """of acknowledged events on the stream, beyond the first"""
    lost: int
    """acknowledged, and not on the stream"""
    seconds: float


class _Put(msgspec.Struct):
    Data: bytes


class _Puts(msgspec.Struct):
    Records: list[_Put]


class Witness:
    """What Kinesis has taken: how often each event, by its uuid."""

    def __init__(self, keys: MacKeys) -> None:
        self.taken: Counter[str] = Counter()
        self._keys = keys

    def answered(self, request: Request, content: bytes) -> None:
        """Note the records of a PutRecords call that were not refused."""
        if request.operation != "PutRecords":
            return
        sent = msgspec.json.decode(request.body, type=_Puts).Records
        for one, result in zip(sent, json.loads(content)["Records"], strict=True):
            found = unwrap(one.Data, self._keys)
            if not result.get("ErrorCode") and isinstance(found[0], Header):
                self.taken[json.loads(found[1])["uuid"]] += 1


class Senders:
    """Threads that post events until they leave; a context manager."""

    def __init__(self, port: int, key: str) -> None:
        self._pool = HTTPConnectionPool("127.0.0.1", port, maxsize=_SENDERS)
        self._headers = {"Authorization": f"Bearer {key}"}
        self.acknowledged: set[str] = set()
        self.repeated = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(name,)) for name in range(_SENDERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _send(self, name: int) -> None:
        number = 0
        while not self._over.is_set():
            uuid = f"{name:04}-{number:08}"
            if self._posted(uuid):
                self.acknowledged.add(uuid)
                number += 1
            else:
                self.repeated += 1
                time.sleep(0.05)

    def _posted(self, uuid: str) -> bool:
        event = {"app": PROJECT, "event_type": "play", "user_id": f"user {hash(uuid) % _USERS}", "uuid": uuid}
        headers = self._headers | {"Request-Id": uuid}
        try:
            answer = self._pool.urlopen(
                "POST",
                "/amplitude/v1/events",
                json.dumps(event).encode(),
                headers,
                retries=False,
                timeout=scaled(10),
            )
        except HTTPError:
            return False
        return answer.status == 200


class Ground:
    """The intake and the emulator of Kinesis, and what can be done to them."""

    def __init__(self, folder: Path, emulator: Emulator, config: Path) -> None:
        self._folder, self._emulator, self._config = folder, emulator, config
        self.kinesis, self.intake = self._started(), intake.start(config, folder / "intake.log")

    def intake_killed(self, _: Random) -> None:
        """KILL to the intake with all its processes."""
        self.intake.kill()
        self.intake = intake.start(self._config, self._folder / "intake.log")

    def supervisor_killed(self, _: Random) -> None:
        """KILL to the process alone that started the others; they end by themselves, and it comes up again."""
        os.kill(self.intake.pid, signal.SIGKILL)
        wait_until(lambda: not self.intake.others(), 20)
        self.intake_killed(_)

    def worker_killed(self, rng: Random) -> None:
        """KILL to one of the processes that answer; the intake starts another one."""
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.intake.others()}
        os.kill(rng.choice([pid for pid, command in commands.items() if b"spawn_main" in command]), signal.SIGKILL)

    def kinesis_killed(self, _: Random) -> None:
        """KILL to the emulator, which comes up again and has forgotten all."""
        self.kinesis.kill()
        self.kinesis = self._started()

    def kinesis_hangs(self, rng: Random) -> None:
        """The emulator takes requests and says nothing, for shorter or longer than the intake waits."""
        os.kill(self.kinesis.pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.5, 4.5))
        os.kill(self.kinesis.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End both."""
        self.intake.stop(patience=15)
        self.kinesis.kill()

    def _started(self) -> Process:
        emulator = self._emulator
        env = {**os.environ, **emulator.env}
        process = Process(emulator.name, emulator.command, self._folder / "kinesis.log", env, emulator.cwd)
        process.wait_until(emulator.answers, seconds=60)
        address = load(self._config).stream_address._replace(endpoint=emulator.endpoint)
        Stream(address).create(2)
        return process


STRIKES: Final[dict[str, Callable[[Ground, Random], None]]] = {
    "intake killed": Ground.intake_killed,
    "one of its processes killed": Ground.worker_killed,
    "emulator of Kinesis killed": Ground.kinesis_killed,
    "emulator of Kinesis hangs": Ground.kinesis_hangs,
    "supervisor killed": Ground.supervisor_killed,
}


def prove(folder: Path, dynamodb: str, strikes: int, seed: int, say: Callable[[str], None]) -> Result:
    """Strike so often under load, each kind in turn, in an order by the seed; then compare."""
    rng, begin = Random(seed), time.monotonic()  # noqa: S311  the same strikes each time
    emulator = emulators.kinesis(ROOT, free_port())
    (folder / "mac-keys").write_text(f"{_MAC_KEY}\n", encoding="ascii")
    witness = Witness(MacKeys(str(folder / "mac-keys")))
    struck: Counter[str] = Counter()
    with ExitStack() as block:
        proxy = block.enter_context(Proxy(emulator.port, answered=witness.answered))
        settings, config = _settings(folder, dynamodb, proxy.endpoint)
        ground = Ground(folder, emulator, config)
        block.callback(ground.stop)
        senders = block.enter_context(Senders(settings.intake.port, _key(settings)))
        order = [list(STRIKES)[number % len(STRIKES)] for number in range(strikes)]
        for name in rng.sample(order, strikes):
            time.sleep(rng.uniform(0.3, 1.5))
            say(f"{len(senders.acknowledged):,} acknowledged; {name}")
            STRIKES[name](ground, rng)
            struck[name] += 1
        time.sleep(1)
    lost = senders.acknowledged - witness.taken.keys()
    copies = sum(witness.taken[uuid] - 1 for uuid in senders.acknowledged - lost)
    return Result(struck, len(senders.acknowledged), senders.repeated, copies, len(lost), time.monotonic() - begin)


def _settings(folder: Path, dynamodb: str, kinesis: str) -> tuple[Settings, Path]:
    config = folder / "job.toml"
    config.write_text(
        f'[dynamodb]\nendpoint = "{dynamodb}"\ntable_prefix = "{folder.name}-"\n'
        f'[kinesis]\nendpoint = "{kinesis}"\nstream = "{folder.name}"\n'
        f'[lake]\ncatalog_uri = "sqlite:///{folder}/catalog.db"\nwarehouse = "file://{folder}/warehouse"\n'
        f'[intake]\nmac_keys_file = "{folder}/mac-keys"\nport = {free_port()}\nworkers = 2\n'
        "requests_per_minute = 10000000\n",
        encoding="utf-8",
    )
    return load(config), config


def _key(settings: Settings) -> str:
    keys = AccessKeys(settings.tables_address)
    keys.create()
    return keys.add(PROJECT, ["events"], "a proof").text


@click.command(context_settings={"show_default": True})
@click.option("--kills", default=50, type=click.IntRange(1), help="How often something is killed or hangs.")
@click.option("--seed", default=1)
def main(*, kills: int, seed: int) -> None:
    """Kill the intake and the emulator of Kinesis under load; exit 1 if something acknowledged is not there."""
    stop_on_signals()
    console = Console()
    with TemporaryDirectory(prefix="intake-") as name:
        folder, emulator = Path(name), emulators.dynamodb(ROOT, free_port())
        process = Process("dynamodb", emulator.command, folder / "dynamodb.log", os.environ, folder)
        try:
            process.wait_until(emulator.answers, seconds=60)
            result = prove(folder, emulator.endpoint, kills, seed, console.print)
        finally:
            process.kill()
    for what, times in sorted(result.strikes.items()):
        console.print(f"{times:4} {what}")
    console.print(
        f"{result.acknowledged:,} events acknowledged in {result.seconds:.0f} s, {result.lost:,} of them lost; "
        f"{result.repeated:,} tries had no good answer, {result.copies:,} copies are on the stream"
    )
    sys.exit(1 if result.lost else 0)


if __name__ == "__main__":
    with one_line_errors("proof"):
        main()
