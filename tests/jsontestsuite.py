"""The 318 parsing cases of JSONTestSuite, out of the text file in tests/fixtures/jsontestsuite."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

PACK = Path(__file__).parent / "fixtures" / "jsontestsuite" / "cases.ndjson"


def cases() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each. `y_` is JSON, `n_` is none, of `i_` each parser may think what it likes."""
    for line in PACK.read_text(encoding="ascii").splitlines():
        case = json.loads(line)
        repeated, times = case.get("repeat", ("", 0))
        yield case["name"], b64decode(repeated) * times + b64decode(case["base64"])
