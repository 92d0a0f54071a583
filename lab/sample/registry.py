"""The sample's projects and cohorts as a registry has them, and the stream that the sample is put on."""

from typing import Final

from lab.sample.others import COHORTS, PROJECTS
from settings import Settings
from stores.access_keys import AccessKeys, Given, Scope
from stores.cohorts import Cohorts
from stores.projects import Projects
from stores.stream import Stream

SHARDS: Final = 3


def create(settings: Settings, shards: int = SHARDS) -> None:
    """Make the stream, and register the sample's projects and cohorts."""
    Stream(settings.stream_address).create(shards)
    projects, cohorts = Projects(settings.tables_address), Cohorts(settings.tables_address)
    projects.create()
    cohorts.create()
    for one in PROJECTS:
        projects.add(one)
    for cohort_id, project_id in COHORTS.items():
        cohorts.add(cohort_id, project_id)


def new_access_key(settings: Settings) -> Given:
    """A key with which whoever tries the intake is the sample's first project."""
    keys = AccessKeys(settings.tables_address)
    keys.create()
    return keys.add(PROJECTS[0].project_id, [*Scope], "make run", name="sample")
