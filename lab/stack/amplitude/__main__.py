"""`python -m lab.stack.amplitude PORT FOLDER`: serve until ended."""

import sys
from pathlib import Path

from lab.stack.amplitude.server import server

if __name__ == "__main__":
    server(int(sys.argv[1]), Path(sys.argv[2])).serve_forever()
