"""Refusals: one sentence that says what is wrong, where, and what to do about it."""

from __future__ import annotations


class LowerboundError(Exception):
    """A refusal the user can act on; the command prints it as one line and exits with `exit_code`."""

    exit_code = 1


class InputError(LowerboundError, ValueError):
    """The user's data or arguments cannot be used as they are (exit code 2)."""

    exit_code = 2


class UnlabelledError(InputError):
    """Data have no labels of the name that was asked for."""


class MissingExtraError(LowerboundError):
    """An optional dependency is not installed (exit code 3)."""

    exit_code = 3

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'lowerbound[{extra}]'")


class DivergedError(LowerboundError):
    """Training met too many non-finite steps and was stopped; the last good state is kept (exit code 4)."""

    exit_code = 4


class Interrupted(LowerboundError):  # noqa: N818 - an interruption is not an error of anyone's
    """Training was interrupted and saved (exit code 130)."""

    exit_code = 130
