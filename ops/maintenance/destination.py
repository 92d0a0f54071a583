"""What is done with a destination: its key is set, it is tried, paused and resumed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from ops.answers.destination import Tested, tested
from settings import Settings
from stores.amplitude import Response, Uploads
from stores.destinations import Destination, Destinations
from stores.errors import StoreError
from stores.projects import Projects
from stores.seal import Seal
from udfs.export.answers import State

_SHORTEST: Final = 16


def sealed(settings: Settings, project_id: int, key: str, what: str) -> tuple[bytes, str]:
    """A registered project's key of Amplitude's: sealed, and its last four characters in clear.

    `what` says what kind of key, and where it is from. Raises StoreError that hides it.
    """
    Projects(settings.tables_address).get(project_id)
    if not is_key(key):
        msg = f"{what}: copy its 32 letters and digits from the project's settings"
        raise StoreError(msg)
    return Seal(settings.seal_keys).seal(project_id, key), key[-4:]


def is_key(text: str) -> bool:
    """Whether a text may be a key of Amplitude's."""
    return text.isascii() and text.isalnum() and len(text) >= _SHORTEST


def set_destination(
    settings: Settings, project_id: int, region: str, sealed_key: tuple[bytes, str], personal: Mapping[str, str]
) -> None:
    """Send message events to a project from now on; replaces what was set before. Raises StoreError."""
    table = Destinations(settings.tables_address)
    table.create()
    table.set(Destination(project_id, region, *sealed_key, personal=personal))


def test(settings: Settings, project_id: int) -> tuple[Destination, Tested]:
    """Send one event, and bring the destination into the state that the answer means, unless it is paused.

    Returns the destination as it was before. Raises StoreError.
    """
    table = Destinations(settings.tables_address)
    one = table.get(project_id)
    key = Seal(settings.seal_keys).open(project_id, one.api_key)
    uploads = Uploads(settings.export.endpoint)

    def post(events: Sequence[bytes]) -> Response:
        return uploads.post(one.region, key, events, settings.export.timeout_seconds)

    found = tested(post, datetime.now(UTC))
    if one.state != State.PAUSED:
        table.change_state(one, found.state, found.words)
    return one, found


def bring_into(settings: Settings, project_id: int, state: State, why: str) -> None:
    """Pause or resume a destination. Raises StoreError, also where it has changed meanwhile."""
    table = Destinations(settings.tables_address)
    if not table.change_state(table.get(project_id), state, why):
        msg = f"the destination of project {project_id} has changed meanwhile: see `destinations show`"
        raise StoreError(msg)
