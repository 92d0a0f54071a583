"""The list of deletion jobs of the User Privacy API: `deletions.json` holds the jobs.

Documented (docs/amplitude.md §5): GET with `start_day` and `end_day`, YYYY-MM-DD, six months at most; basic
authentication; a list of jobs with `day`, `status` (staging, submitted, done) and `amplitude_ids`. Assumed, for no
page has it: 401 for wrong keys, 400 for days of another form or too many.
"""

from datetime import date, timedelta
from typing import Final

from lab.stack.amplitude.folder import Asked, Folder, Reply, said

PATH: Final = "/api/2/deletions/users"
_MOST: Final = timedelta(days=184)


def answer(folder: Folder, asked: Asked) -> Reply:
    """The jobs of some days."""
    if not folder.is_pair(asked.authorization):
        return Reply(401)
    try:
        begin, end = (date.fromisoformat(asked.query[name]) for name in ("start_day", "end_day"))
    except (KeyError, ValueError):
        return Reply(400)
    if not begin <= end <= begin + _MOST:
        return Reply(400)
    jobs = folder.json("deletions.json", [])
    return said(200, [job for job in jobs if begin <= date.fromisoformat(job["day"]) <= end])
