"""`make schemas`: the JSON Schemas under docs/ anew, out of the code that they describe."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from udfs.export import message, schemas

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"


def wanted() -> dict[str, str]:
    """What each file under docs/ is to hold."""
    events = {f"amplitude-events/{name}": _written(one) for name, one in schemas.schemas()}
    return {"message-event.schema.json": _written(message.schema())} | events


def digest(files: Mapping[str, str]) -> str:
    """The first digits of the SHA-256 of all events' schemas; docs/amplitude-events/README.md knows them by it."""
    events = sorted(text for name, text in files.items() if name.startswith("amplitude-events/"))
    return sha256("".join(events).encode()).hexdigest()[:12]


def _written(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files, and say what is left to do."""
    for name, text in wanted().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    print(f"the newest row of docs/amplitude-events/README.md has to name {digest(wanted())}")


if __name__ == "__main__":
    main()
