"""``python -m scd attack …``: see :mod:`scd.command`."""

from __future__ import annotations

import sys

from scd.command.line import main

if __name__ == "__main__":
    sys.exit(main())
