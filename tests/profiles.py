"""Hypothesis profiles. HYPOTHESIS_PROFILE chooses one: `ci` (default) or `nightly`."""

import os

import pytest
from hypothesis import HealthCheck, settings

PROFILES = {
    # The same examples on every run: a red build is red again when it is repeated. CI machines are slow and
    # shared, so neither a deadline nor the speed of generation may decide.
    "ci": settings(
        derandomize=True, max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    ),
    # New examples each night; a failure prints the line that repeats it.
    "nightly": settings(
        max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    ),
}


def pytest_configure() -> None:
    for name, profile in PROFILES.items():
        settings.register_profile(name, profile)
    chosen = os.environ.get("HYPOTHESIS_PROFILE", "ci")
    if chosen not in PROFILES:
        msg = f"HYPOTHESIS_PROFILE={chosen}: must be one of {', '.join(PROFILES)}"
        raise pytest.UsageError(msg)
    settings.load_profile(chosen)
