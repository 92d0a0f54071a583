"""All of these generate their input."""

from tests.profiles import pytest_configure  # noqa: F401  a hook of pytest
