"""The registry made as a file says, change by change; what was stopped halfway is finished when it is repeated."""

from collections.abc import Iterator, Sequence

from ops.answers.registry_file import Change
from stores.errors import StoreError
from stores.projects import Projects


def applied(registry: Projects, changes: Sequence[Change]) -> Iterator[Change]:
    """Make the changes; yields each that is made. Raises StoreError, which says how many were."""
    for done, change in enumerate(changes):
        try:
            change.make(registry)
        except StoreError as error:
            msg = f"{done} of {len(changes)} changes are made, then: {error}; mend that and repeat the command"
            raise StoreError(msg) from None
        yield change
