"""A sample of Notifly's message events, with what must become of each; deterministic for a seed and `now`.

Fates are given while an event is made, never read back from its bytes: a count independent of the job.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any, Final, NamedTuple

from lab.sample.events import encode, uuid
from lab.sample.generator import Put
from udfs.export.message import Cause, Channel, Verb

EAGER: Final = "eager@example.com"
"""A user of whom Amplitude takes no more events, where the stand-in's `throttled` names them."""
_COPIES: Final = 0.05
_FATES: Final = {"fine": 0.9, "blocked": 0.02, "eager": 0.03, "broken": 0.03, "elsewhere": 0.02}
"""By fate its share: taken; refused by the firewall; waits; no message event; of a project without destination."""
_BROKEN: Final = (b"", b"\xff\xfe", b"[]", b'{"version": 1', b'{"version": 1, "event_id": "e"}', b'{"version": 2}')


class Message(NamedTuple):
    """One message event on its way, and what must become of it."""

    event_id: str
    notifly_project: str
    fate: str
    puts: tuple[Put, ...]
    """one, and another one where it is put twice"""


def messages(rng: Random, count: int, shops: Sequence[str], now: datetime) -> list[Message]:
    """So many message events of these Notifly projects."""
    return [_message(rng, rng.choice(shops), now) for _ in range(count)]


def puts(rng: Random, made: Sequence[Message]) -> list[Put]:
    """All of them, in an order of its own."""
    found = [put for one in made for put in one.puts]
    rng.shuffle(found)
    return found


def _message(rng: Random, shop: str, now: datetime) -> Message:
    (fate,) = rng.choices(list(_FATES), list(_FATES.values()))
    event_id = uuid(rng)
    if fate == "broken":
        return Message(event_id, shop, fate, (Put(event_id, rng.choice(_BROKEN)),))
    shop = "no-destination" if fate == "elsewhere" else shop
    event = dict(_fields(rng, event_id, shop, now))
    if fate == "blocked":
        event["campaign_name"] = "<script>alert(1)</script>"
    if fate == "eager":
        event["user_id"] = EAGER
    put = Put(event_id, encode(event))
    return Message(event_id, shop, fate, (put,) * (2 if rng.random() < _COPIES else 1))


def _fields(rng: Random, event_id: str, shop: str, now: datetime) -> Iterator[tuple[str, Any]]:
    kind = rng.choice(list(Verb))
    yield from {"version": 1, "event_id": event_id, "message_id": uuid(rng), "notifly_project": shop}.items()
    yield from {
        "kind": kind,
        "channel": rng.choice(list(Channel)),
        "user_id": f"user-{rng.randrange(500)}",
    }.items()
    yield "time", int(now.timestamp() * 1000) - rng.randrange(60_000)
    yield from {"campaign_id": "summer", "campaign_name": "Summer Sale", "variant_id": rng.choice("ab")}.items()
    yield from {"email_address": "mina@example.com", "phone_number": "+821012345678"}.items()
    if kind is Verb.NOT_SENT:
        yield "cause", rng.choice(list(Cause))
