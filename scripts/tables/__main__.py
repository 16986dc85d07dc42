"""``python -m scripts.tables``: the tables, figures and the report; see :mod:`scripts.tables.write`."""

import sys

from scripts.tables.write import main

if __name__ == "__main__":
    sys.exit(main())
