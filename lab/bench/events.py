"""Valid events for benchmarks, fast: precomputed templates filled with unique ids. Deterministic for a seed."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
from numpy.typing import NDArray

from lab.sample.events import DEVICES, clocks, encode, make_event, person
from settings import Settings
from stores.project import linked
from stores.projects import Projects

PROJECTS = range(400_001, 400_051)
DUPLICATES = 0.05
SEED = 7


def events(
    count: int, seed: int, project_ids: Sequence[int], duplicate_share: float = 0.05, size: int = 1500
) -> Iterator[bytes]:
    """Yield valid events of about `size` bytes, the projects in equal shares.

    Exactly `int(count * duplicate_share)` of them repeat one of the last few thousand originals.
    """
    rng = Random(seed)
    templates = [_template(rng, project, size) for project in project_ids for _ in range(32)]
    variants = [_variant(rng) for _ in range(512)]
    recent: deque[bytes] = deque(maxlen=4096)
    for number in range(count):
        if int((number + 1) * duplicate_share) > int(number * duplicate_share):
            yield recent[int(rng.random() * len(recent))]
            continue
        bits = rng.getrandbits(64)
        unique = b"%08x-%04x-4000-8000-%012x" % (bits >> 32, bits & 0xFFFF, number)
        variant = variants[(bits >> 16) % len(variants)]
        variant[b"uuid"] = b'"%b"' % unique
        variant[b"$insert_id"] = b'"%b"' % unique[::-1]
        variant[b"event_id"] = b"%d" % number
        data = templates[bits % len(templates)] % variant
        recent.append(data)
        yield data


def originals(count: int, duplicate_share: float = DUPLICATES) -> NDArray[np.int64]:
    """Which of so many events repeat none before, by their numbers, ascending."""
    copies = (np.arange(count + 1) * duplicate_share).astype(np.int64)
    return np.flatnonzero(copies[1:] == copies[:-1])


_BENCH_START = datetime(2026, 3, 10, tzinfo=UTC)


def _template(rng: Random, project_id: int, size: int) -> bytes:
    """An encoded event of about `size` bytes, with a `%(field)b` for what differs from record to record."""
    variant = _variant(rng)
    places = ("uuid", "$insert_id", "event_id", *(key.decode() for key in variant))
    event = make_event(rng, 0, project_id, person(rng, DEVICES[:1]), _BENCH_START)
    event["user_properties"] = {"grade": "VIP 💎"}
    room = max(0, size - len(encode(event)) - len(',"note":""'))
    note = "".join(rng.choices("abc defg hijk lmnop rstu vwxyz ", k=room))
    event["event_properties"] = {"note": note} | event["event_properties"]
    template = encode(event | {place: f"@{place}@" for place in places}).replace(b"%", b"%%")
    for place in places:
        template = template.replace(f'"@{place}@"'.encode(), f"%({place})b".encode())
    return template


def _variant(rng: Random) -> dict[bytes, bytes]:
    """Who and when, as encoded values by field, at some instant of one day."""
    upload = _BENCH_START + timedelta(hours=20) * rng.random()
    event = make_event(rng, 0, 0, person(rng), upload)
    event["server_upload_time"] = f"{upload:%Y-%m-%d %H:%M:%S.%f}"  # the one form that Amplitude sends
    fields = ("device_id", "user_id", "amplitude_id", "session_id", *clocks(rng, upload))
    return {field.encode(): encode(event[field]) for field in fields}


def register(settings: Settings, project_ids: Iterable[int] = PROJECTS) -> None:
    """Enter the projects of the events into the registry, which is made for that."""
    projects = Projects(settings.tables_address)
    projects.create()
    for project_id in project_ids:
        projects.add(linked(project_id, f"notifly-{project_id}"))
