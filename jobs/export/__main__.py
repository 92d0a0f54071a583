"""`flink run -pym jobs.export`: Flink starts the package as a program."""

import sys

from jobs.export.submit import main

sys.exit(main(sys.argv[1:]))
