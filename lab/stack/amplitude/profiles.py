"""The User Profile API: `profiles.json` holds by user id what is known of a user.

A user has `device_id`, `amp_props` by name, `cohort_ids`, and by their ids `computations` (`name` and `value`),
`recommendations` (what is answered) and `propensities` (`pred_id`, `score` and `pct`); each may be missing.

Documented (docs/amplitude.md §6): the parameters, the header, the answers' fields, the words of each refusal, 401
for keys, 600 requests a minute of an organisation. Assumed, because no page has it: 429 beyond that limit, 400 for
an unknown user, that the minute slides, and that a request may ask for several things at once.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, Final

from lab.stack.amplitude.folder import Asked, Folder, Reply, said

PATH: Final = "/v1/userprofile"
PER_MINUTE: Final = 600
_MINUTE: Final = 60.0
_TOO_MANY: Final = (
    "Number of requests per minute exceeds system limit. Contact Support if you need this limit raised"
)


class Profiles:
    """Counts what each organisation asks."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)

    def answer(self, asked: Asked) -> Reply:
        """A user's profile, or why not."""
        scheme, _, key = asked.authorization.partition(" ")
        if scheme != "Api-Key" or not key:
            return Reply(401, b"Missing Api-Key in Authorization header")
        organisations = dict(line.split() for line in self._folder.lines("secrets"))
        if key not in organisations:
            return Reply(401, b"Invalid Api-Key")
        if not self._may(organisations[key]):
            return said(429, {"error": _TOO_MANY})
        users = self._folder.json("profiles.json", {})
        wanted = asked.query.get("user_id") or _of_device(users, asked.query.get("device_id"))
        if wanted not in users:
            return said(400, {"error": "User id and device id not seen before"})
        return said(200, {"userData": _user_data(wanted, users[wanted], asked.query)})

    def _may(self, organisation: str) -> bool:
        with self._lock:
            before, now = self._asked[organisation], self._folder.now()
            while before and before[0] <= now - _MINUTE:
                before.popleft()
            if len(before) >= PER_MINUTE:
                return False
            before.append(now)
            return True


def _of_device(users: Mapping[str, Any], device_id: str | None) -> str:
    return next((user for user, known in users.items() if device_id and known.get("device_id") == device_id), "")


def _user_data(user_id: str, known: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    given = {name for name, value in query.items() if value == "true"}
    recommended, propensities = known.get("recommendations", {}), known.get("propensities", {})
    kind = query.get("propensity_type", "score")
    found = {
        "recommendations": _of(recommended, query, "rec_id") if "get_recs" in given else None,
        "user_id": user_id,
        "device_id": known.get("device_id"),
        "amp_props": (known.get("amp_props", {}) if "get_amp_props" in given else {}) | _computed(known, query)
        or None,
        "cohort_ids": known.get("cohort_ids", []) if "get_cohort_ids" in given else None,
    }
    if "get_propensity" not in given:
        return found
    scores = [
        {"prop": one[kind], "pred_id": one["pred_id"], "prop_type": kind}
        for one in _of(propensities, query, "prediction_id")
    ]
    return found | {"propensity": scores[0]["prop"] if len(scores) == 1 else None, "propensities": scores}


def _computed(known: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    computations = known.get("computations", {})
    every = query.get("get_computations") == "true"
    wanted = computations.values() if every else _of(computations, query, "comp_id")
    return {one["name"]: one["value"] for one in wanted}


def _of(known: Mapping[str, Any], query: Mapping[str, str], name: str) -> list[Any]:
    """Those whose ids a parameter lists; the others are left out."""
    return [known[one] for one in query.get(name, "").split(",") if one in known]
