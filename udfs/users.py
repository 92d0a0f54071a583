"""Which records change a user's profile.

Properties belong to users by their user id (docs/amplitude.md §8.1): an update that names a device alone stays in
the history. A user update is merged as it is. An event shows all properties as they were when it happened; they
are merged when the project asks for it and the event is no backfill, whose old values would overwrite living ones.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from udfs.attribute import Project

LONGEST_ID: Final = 4096
"""Bytes of an id in DynamoDB; Amplitude's are shorter than 1 024 characters (docs/amplitude.md §4.4)."""


def can_be_id(text: str | None) -> bool:
    """Whether an id names somebody, and is no longer than ids are."""
    return text is not None and 0 < len(text.encode()) <= LONGEST_ID


def update_to_profile(export: Any) -> bool:
    """Whether a user update is one of a known user; a group's is not."""
    return can_be_id(export.user_id) and export.event_type != "$groupidentify"


def snapshot_to_profile(project: Project, export: Any, uploaded: datetime) -> bool:
    """Whether an event's user properties are those of a known user as of now."""
    if project.snapshot_hours is None or export.event_time is None or not can_be_id(export.user_id):
        return False
    late: timedelta = uploaded - export.event_time
    return late <= timedelta(hours=project.snapshot_hours)
