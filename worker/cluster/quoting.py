"""The one place where arguments become a line that a shell will read."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quote(argv: Sequence[str]) -> str:
    """Write a command line that a POSIX shell splits into exactly these arguments again.

    Nothing in an argument is special to the shell afterwards: not quotes, ``$()``, new lines, globs or a leading
    ``#``. Only a shell of the POSIX family (sh, dash, bash, ksh, zsh) reads it so; csh does not.

    Parameters
    ----------
    argv : Sequence[str]
        Program and arguments.

    Returns
    -------
    str
        The line.

    Raises
    ------
    ValueError
        If there is no program, or an argument contains a NUL, which no argument of a program can.
    """
    if not argv:
        raise ValueError("A command needs at least a program.")
    for argument in argv:
        if "\0" in argument:
            raise ValueError(f"An argument must not contain a NUL character: {argument!r}.")
    return shlex.join(argv)
