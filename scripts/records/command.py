"""How a command of this folder ends where the reader of its output or the file system does not play along."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pipeline.errors import UserError


def run_command(main: Callable[[], int]) -> int:
    """The exit status of `main`: 0 where its reader went away, 2 and one sentence where a file cannot be used."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # as in `make status | head`: what was asked for has been read
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}.", file=sys.stderr)
        return 2
    return status
