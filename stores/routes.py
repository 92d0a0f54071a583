"""Where message events go: by Notifly project the linked Amplitude projects that have a destination."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from stores import aws, dynamodb
from stores.destinations import Destinations
from stores.leases import EXPORT, Lease, Leases
from stores.project import Link
from stores.projects import Projects
from stores.registry import IMPATIENT, CachedRegistry


class Route(NamedTuple):
    """An Amplitude project that has a destination, with all links that it has or had."""

    project_id: int
    links: tuple[Link, ...]
    personal: Mapping[str, str]
    """by personal field that is sent: `plain` or `sha256`"""


Routes = Mapping[str, list[Route]]


def routes(projects: Projects, destinations: Destinations) -> Routes:
    """Where message events of each Notifly project go, or went. Raises StoreError."""
    personal = {one.project_id: one.personal for one in destinations.list()}
    found: defaultdict[str, list[Route]] = defaultdict(list)
    for project in projects.list():
        if project.project_id in personal:
            route = Route(project.project_id, project.links, personal[project.project_id])
            for name in {link.notifly_project for link in project.links}:
                found[name].append(route)
    return dict(found)


def open_routes(
    address: dynamodb.TablesAddress, refresh_seconds: float, lease: Lease | None = None
) -> CachedRegistry[Routes]:
    """The routes as a worker opens them, with the lease that its job holds. Raises StoreError, LeaseLostError."""
    client = aws.client("dynamodb", address.region, address.endpoint, IMPATIENT)

    def fresh() -> Routes:
        if lease:
            Leases(address, client, EXPORT).renew(lease)
        return routes(Projects(address, client), Destinations(address, client))

    found = CachedRegistry(fresh)
    found.refresh_every(refresh_seconds)
    return found
