"""User updates per second: the merge rule alone, the writer, and the whole job beside the event path.

The writer is measured against DynamoDB Local, and against a table in memory that answers at once: the store that
is not the limit. The rival keeps the same profiles in Flink's Python keyed state, as architecture §2 (a) has it.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow.compute as pc

from lab.bench import bounded
from lab.bench.bounded import Run
from lab.bench.events import PROJECTS, SEED, register
from lab.bench.figures import Figure, Say
from lab.bench.given import Mix, write
from lab.bench.job_ours import MemoryProfiles
from lab.sample.events import encode, uuid
from lab.stack.local import Stack
from lab.stack.machine import Ports
from ops.release import job_zip
from settings import Settings, load
from stores.lake import EVENT_STORE, USER_UPDATES, Lake
from stores.profiles import Key, Profiles
from udfs.profile import Clock, Profile, Update
from udfs.write_profiles import Change, ProfileMerger

UPDATES = 200_000
USERS = 20_000
STATE_UPDATES = 20_000
BATCH = 2_000  # python.fn-execution.arrow.batch.size in flink-conf/config.yaml
_DAY = datetime(2026, 3, 13, tzinfo=UTC)
_CLOCK = int(_DAY.timestamp() * 1_000_000)


def measure(say: Say) -> list[Figure]:
    """All three parts; one stack of real processes for the last two."""
    say("merging in this process")
    figures = [_figure("merge: one update onto 30 properties, loaded and dumped", _merge() * 1e6, "µs/update")]
    for users in (500, USERS):
        table = MemoryProfiles()
        rate = _rate(ProfileMerger(table), _changes(UPDATES // 4, users))  # type: ignore[arg-type]
        figures.append(_figure(f"writer: into memory, {users:,} users", rate, "updates/s"))
    size = sum(len(one.properties) + len(one.merge) for one in table.items.values()) / len(table.items)
    figures.append(_figure("profile of 3 properties after 2.5 updates", size, "bytes"))
    with Stack("bench-users", Ports.free(), flink_options={"execution.checkpointing.interval": "10s"}) as stack:
        settings = load(stack.write_settings())
        profiles = Profiles(settings.tables_address)
        profiles.create()
        for users in (500, USERS):
            rate = _rate(ProfileMerger(profiles), _changes(UPDATES // 4, users, project=users))
            figures.append(_figure(f"writer: into DynamoDB Local, {users:,} users", rate, "updates/s"))
        figures += _jobs(stack, say)
    return figures


def _merge() -> float:
    known = Profile()
    known.apply(_update(0, {f"property {n}": n for n in range(30)}))
    before, texts = time.process_time(), known.dump()
    for number in range(1, 5_001):
        one = Profile.load(*texts)
        one.apply(_update(number, {"$set": {"property 1": "x"}, "$add": {"property 2": 1}}))
        one.dump()
    return (time.process_time() - before) / 5_000


def _update(number: int, properties: dict[str, object]) -> Update:
    clock = Clock(_CLOCK + number, -1, -1, 10**55 + number, -1)
    return Update(clock, number.to_bytes(16, "big"), "$identify", encode(properties).decode())


def _changes(count: int, users: int, project: int = 1) -> list[Change]:
    rng = Random(SEED)
    made = []
    for number in range(count):
        properties = {"$set": {"grade": rng.choice("abc"), "plan": "pro"}, "$add": {"logins": 1}}
        made.append(Change(Key(project, f"user-{rng.randrange(users)}"), _update(number, properties), "d", 1))
    return made


def _rate(merger: ProfileMerger, changes: Sequence[Change]) -> float:
    begin = time.monotonic()
    for at in range(0, len(changes), BATCH):
        merger.merge(changes[at : at + BATCH])
    return len(changes) / (time.monotonic() - begin)


def _jobs(stack: Stack, say: Say) -> list[Figure]:
    folders = {
        "updates": _write(stack.folder / "input" / "updates", UPDATES),
        "few updates": _write(stack.folder / "input" / "few", STATE_UPDATES),
        "events": write(stack.folder / "input" / "events", UPDATES, Mix()).folder,
    }
    found = []
    for number in range(3):  # the first round warms up
        rates = {
            "events, whole job": _run(stack, "job_ours.py", folders["events"], f"events_{number}", EVENT_STORE),
            "updates, whole job, DynamoDB Local": _run(
                stack, "job_ours.py", folders["updates"], f"local_{number}", USER_UPDATES
            ),
            "updates, whole job, profiles in memory": _run(
                stack, "job_ours.py", folders["updates"], f"memory_{number}", USER_UPDATES, "--profiles-in-memory"
            ),
            "updates, Python keyed state": _run_state(stack, folders["few updates"]),
        }
        say(f"round {number}: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
        found += [_figure(f"round {number}: {name}", rate, "records/s") for name, rate in rates.items() if number]
    return found


def _write(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    with (folder / "updates.jsonl").open("wb") as file:
        file.writelines(data + b"\n" for data in _records(count))
    return folder


def _records(count: int) -> Iterator[bytes]:
    rng = Random(SEED)
    for number in range(count):
        upload = _DAY + timedelta(microseconds=number)
        yield encode(
            {
                "app": rng.choice(PROJECTS),
                "event_type": "$identify",
                "user_id": f"user-{rng.randrange(USERS)}@example.com",
                "device_id": uuid(rng),
                "server_upload_time": f"{upload:%Y-%m-%d %H:%M:%S.%f}",
                "uuid": uuid(rng),
                "user_properties": {"$set": {"grade": rng.choice("abc"), "plan": "pro"}, "$add": {"logins": 1}},
            }
        )


def _run(stack: Stack, script: str, folder: Path, namespace: str, table: str, *more: str) -> float:
    """Rows per second, by arrivals and the checkpoint that made the last one visible: see lab.bench.engines."""
    overrides = (f"lake.namespace={namespace}", f"dynamodb.table_prefix={namespace}_")
    settings = load(stack.settings_path, overrides)
    register(settings)
    run = _submit(stack, script, folder, [part for one in overrides for part in ("--set", one)] + list(more))
    arrival = _arrivals(settings, table)
    last = next((one for one in run.checkpoints if one.triggered >= arrival[1]), None)
    return UPDATES / (arrival[1] - arrival[0] + (last.ended - last.triggered if last else 0.0))


def _arrivals(settings: Settings, table: str) -> tuple[float, float]:
    rows = Lake(settings.lake_address).rows(table, ("arrival",))
    found = pc.min_max(rows["arrival"]).as_py()
    return found["min"].timestamp(), found["max"].timestamp()


def _run_state(stack: Stack, folder: Path) -> float:
    return STATE_UPDATES / _submit(stack, "job_state.py", folder, []).seconds


def _submit(stack: Stack, script: str, folder: Path, more: Sequence[str]) -> Run:
    arguments = ["--config", str(stack.settings_path), "--input", f"file://{folder}", *more]
    return bounded.run(stack, Path(__file__).with_name(script), job_zip.build(), arguments, 600)


def _figure(what: str, value: float, unit: str) -> Figure:
    return Figure("users", what, value, unit)
