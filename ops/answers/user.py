"""What is known of one user: the profile with where each property came from, and the cohorts."""

from dataclasses import dataclass

from settings import Settings
from stores.cohorts import CohortMembers, Cohorts, Member
from stores.errors import MissingError
from stores.lake import COHORT_CHANGES, Condition, Lake
from stores.profiles import Key, Profiles, StoredProfile
from udfs.profile import Explained, Profile


@dataclass(frozen=True)
class Membership:
    """What a cohort knows of a user."""

    member: Member
    name: str | None
    """of the cohort, where a message has told it"""


def profile(settings: Settings, project_id: int, user_id: str) -> tuple[StoredProfile, list[Explained]]:
    """The profile as it is stored, of version 0 when there is none, and each property with its source.

    Raises StoreError, and ValueError of what a newer version of the job has written.
    """
    try:
        (found,) = Profiles(settings.tables_address).of_users([Key(project_id, user_id)]).values()
    except MissingError:
        return StoredProfile(project_id, user_id), []
    return found, Profile.load(found.properties, found.merge).explained() if found.version else []


def memberships(settings: Settings, project_id: int, user_id: str) -> list[Membership]:
    """The cohorts that know a user, those with the user in them first.

    They are sought among the cohorts that are registered for the project, and those that have told of the user.
    Raises StoreError.
    """
    lake = Lake(settings.lake_address)
    try:
        names = {
            one.cohort_id: one.name
            for one in Cohorts(settings.tables_address).list()
            if one.project_id == project_id
        }
    except MissingError:
        names = {}
    where = [Condition("project_id", "=", project_id), Condition("user_id", "=", user_id)]
    if lake.exists(COHORT_CHANGES):
        for piece in lake.pieces(COHORT_CHANGES, ("cohort_id", "cohort_name"), where):
            for row in piece.to_pylist():
                names[row["cohort_id"]] = row["cohort_name"] or names.get(row["cohort_id"])
    try:
        members = [*CohortMembers(settings.tables_address).of_user(project_id, user_id, sorted(names))]
    except MissingError:
        members = []
    found = [Membership(one, names[one.cohort_id]) for one in members]
    return sorted(found, key=lambda one: (not one.member.in_cohort, one.member.cohort_id))
