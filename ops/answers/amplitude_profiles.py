"""Amplitude's profiles with the keys of the table `profile_sources`, as settings have it."""

from settings import Settings
from stores.amplitude.bucket import Quotas
from stores.amplitude.profiles import THREADS, Limits, Profiles, Source
from stores.amplitude.user_profile import UserProfileApi
from stores.profile_limits import ProfileLimits
from stores.profile_sources import ProfileSources
from stores.seal import Seal


def profiles_of(settings: Settings) -> Profiles:
    """A client for one event loop. Raises StoreError where there are no keys to open the secret keys with."""
    asked = settings.amplitude_profiles
    table, seal = ProfileSources(settings.tables_address), Seal(settings.seal_keys)

    def source_of(project_id: int) -> Source:
        found = table.get(project_id)
        return Source(seal.open(project_id, found.secret_key, "amplitude-profile set"), found.organisation)

    limits = Limits(asked.fresh_seconds, asked.stale_seconds, asked.users)
    api = UserProfileApi(asked.endpoint, asked.timeout_seconds, THREADS)
    shared = ProfileLimits(settings.tables_address, asked.requests_per_minute)
    return Profiles(source_of, api, limits, quotas=Quotas(shared.take, shared.pause))
