"""The export job fed with message events, and what must become of them."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

from lab.sample import messages
from lab.sample.generator import Put
from lab.sample.messages import EAGER, Message
from lab.sample.others import PROJECTS
from lab.stack import amplitude
from lab.stack.local import Stack
from lab.stack.patience import Deadline, scaled
from ops.answers import export_ledger
from ops.answers.ledger import Residual
from settings import Settings
from stores.destinations import Destination, Destinations
from stores.lake import Lake
from stores.seal import Seal
from stores.stream import Stream
from udfs.export.render import Kind
from udfs.export.sender import Outcome

_SECONDS: Final = 180
_OUTCOMES: Final = {
    "fine": Outcome.ACCEPTED,
    "blocked": Outcome.REFUSED,
    "eager": Outcome.WAITING,
    "broken": Kind.REJECTED,
    "elsewhere": Kind.IGNORED,
}


def sample(events: int, seed: int, now: datetime) -> tuple[list[Message], list[Put]]:
    """So many message events of the sample's projects, and all of them as they are put."""
    rng = Random(seed)  # noqa: S311
    made = messages.messages(rng, events, [one.notifly_project for one in PROJECTS], now)
    return made, messages.puts(rng, made)


def feed(settings: Settings, events: int, seed: int, now: datetime) -> list[Message]:
    """Put a sample on the stream of message events; what was put."""
    made, puts = sample(events, seed, now)
    list(Stream(settings.export_stream_address).put((put.partition_key, put.data) for put in puts))
    return made


def wanted(made: Sequence[Message]) -> Counter[str]:
    """What must become of message events, by outcome; copies count where nothing is sent."""
    counts: Counter[str] = Counter()
    for one in made:
        sent = one.fate not in {"broken", "elsewhere"}
        counts[_OUTCOMES[one.fate]] += 1 if sent else len(one.puts)
        counts[export_ledger.DUPLICATE] += len(one.puts) - 1 if sent else 0
    return counts


def connect(settings: Settings, stack: Stack) -> None:
    """Make the stream of message events, and a destination of each project of the sample."""
    Stream(settings.export_stream_address).create(1)
    destinations, seal = Destinations(settings.tables_address), Seal(settings.seal_keys)
    destinations.create()
    key = amplitude.API_KEY
    for one in PROJECTS:
        destinations.set(Destination(one.project_id, "us", seal.seal(one.project_id, key), key[-4:]))
    tell(stack, "throttled", EAGER)


def tell(stack: Stack, name: str, *lines: str) -> None:
    """Write a file of the stand-in's folder; it appears whole."""
    draft = stack.folder / "amplitude" / f"{name}.draft"
    draft.write_text("\n".join(lines), encoding="utf-8")
    draft.rename(draft.with_suffix(""))


def replay(stack: Stack, project_id: int) -> None:
    """Replay what Amplitude has refused of a project, by a command that is killed with -9 halfway and repeated."""
    program = Path(sys.executable).parent / "amplitude-bridge"
    command = [str(program), "destinations", "--config", str(stack.settings_path), "replay", str(project_id)]
    with suppress(subprocess.TimeoutExpired):  # which kills it
        subprocess.run([*command, "--rate", "1"], timeout=scaled(5), check=True, capture_output=True)
    subprocess.run(command, timeout=scaled(60), check=True, capture_output=True)


def at_rest(
    lake: Lake, expected: Counter[str], told: Callable[[Counter[str]], object] = str
) -> tuple[Counter[str], list[Residual]]:
    """Wait until events have these outcomes and all is accounted for; outcomes and residuals of the last look.

    `told` is given the outcomes of each look. A later look may find residuals again, for a moment: what waits is
    sent again when it is due, and the tables are not committed in the same instant.
    """
    deadline = Deadline(_SECONDS)
    while True:
        found, over = outcomes(lake), deadline.over
        told(found)
        left = export_ledger.unbalanced(lake) if found == expected or over else []
        if over or (found == expected and not left):
            return found, left
        deadline.pause(1)


def taken(stack: Stack) -> Counter[str]:
    """By insert_id how often the stand-in of Amplitude has taken an event."""
    lines = (stack.folder / "amplitude" / "taken.jsonl").read_text("utf-8").splitlines()
    return Counter(json.loads(line)["insert_id"] for line in lines)


def outcomes(lake: Lake) -> Counter[str]:
    """Events by outcome as the export ledger has them."""
    counts: Counter[str] = Counter()
    for row in export_ledger.outcomes(lake):
        counts[row["outcome"]] += row["events"]
    return counts
