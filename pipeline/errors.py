"""The one kind of error a user sees as a sentence instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend, said in one sentence.

    Parameters
    ----------
    message : str
        What, where, allowed, got, and what to do next.
    code : int
        Exit status: 2 for a bad configuration, found before any work; 1 for what fails later.
    """

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code
