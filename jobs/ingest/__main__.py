"""`flink run -pym jobs.ingest`: Flink starts the package as a program."""

import sys

from jobs.ingest.submit import main

sys.exit(main(sys.argv[1:]))
