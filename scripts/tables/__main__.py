"""``python -m scripts.tables``: the tables, figures and the report; see :mod:`scripts.tables.write`."""

import sys

from scripts.records.command import run_command
from scripts.tables.write import main

if __name__ == "__main__":
    sys.exit(run_command(main))
