"""`jobs.ingest` or `jobs.export`, as the first argument says, but first copies are remembered for a century.

A fixture gets older than any window. State keeps when it was written, and how long it lives is said by the job
that restores it.
"""

import sys
from datetime import timedelta

from jobs.export import graph as export
from jobs.export.submit import main as submit_export
from jobs.ingest import graph as ingest
from jobs.ingest.submit import main as submit_ingest
from settings import Settings

FOR_GOOD = timedelta(days=36_500)

Settings.dedupe_window = property(lambda _: FOR_GOOD)  # type: ignore[assignment,method-assign]
ingest.CONTENT_WINDOW = FOR_GOOD
export.REMEMBERED = FOR_GOOD

if __name__ == "__main__":
    sys.exit({"ingest": submit_ingest, "export": submit_export}[sys.argv[1]](sys.argv[2:]))
