"""`jobs.ingest`, but first copies are remembered for a hundred years: a fixture gets older than any window.

State keeps when it was written, and how long it lives is said by the job that restores it.
"""

import sys
from datetime import timedelta

from jobs.ingest import graph, submit
from settings import Settings

FOR_GOOD = timedelta(days=36_500)

Settings.dedupe_window = property(lambda _: FOR_GOOD)  # type: ignore[assignment,method-assign]
graph.CONTENT_WINDOW = FOR_GOOD

if __name__ == "__main__":
    sys.exit(submit.main(sys.argv[1:]))
