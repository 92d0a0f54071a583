"""A stand-in for Amplitude, a process of its own: `python -m lab.stack.amplitude PORT FOLDER`.

FOLDER holds what it is told and what it tells; every file of it may be missing, and is read anew for each request.

- `keys`: API keys of projects, a line each. `pairs`: `API_KEY:SECRET_KEY` of a project, a line each. `secrets`: a
  secret key and the name of its organisation, a line each.
- `faults`: a line for each fault, `WHAT SHARE [PATH]`. WHAT is a status that is answered in place of the work,
  `cut` (the work is done, half of the answer written), or `slow=SECONDS`. SHARE is that of the requests, 0 to 1.
- `clock`: seconds by which this Amplitude's clock is ahead.
- what each API adds: `uploads.py`, `export_api.py`, `deletions.py`, `profiles.py`.

Each of these modules says what is documented and what is assumed. Assumed for all: the bodies of faults.
"""

from typing import Any, Final

API_KEY: Final = "0123456789abcdef0123456789abcdef"
"""Of the sample's projects."""
SECRET_KEY: Final = "fedcba9876543210fedcba9876543210"  # noqa: S105  a stand-in's
"""Of the sample's projects."""
USERS: Final[dict[str, Any]] = {
    "mina@example.com": {
        "device_id": "4289c8b4-7afe-49ed-8814-51c5fc770000",
        "amp_props": {"city": "Seoul", "first_used": "2026-01-13", "orders": 12},
        "computations": {"t14bqib": {"name": "lifetime value", "value": "5000000.0"}},
        "cohort_ids": ["gs72ns"],
        "recommendations": {"s234ssg": {"rec_id": "s234ssg", "items": ["kimchi", "bulgogi"], "is_control": False}},
        "propensities": {"0x10x": {"pred_id": "0x10x", "score": 0.500001, "pct": 83}},
    }
}
"""Whom it knows beside the sample: `profiles.py`."""
