"""The fixed POSIX shell scripts that run on the cluster.

Each is sent as an argument of ``sh -c``; whatever changes reaches it as an argument or through its standard input, so
that no value is ever part of a program.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

FENCED = ("submit", "find_by_key", "unpack", "put_in_place")
"""Scripts that use the functions of ``fence.sh``."""


@cache
def _text(name: str) -> str:
    lines = resources.files(__name__).joinpath(f"{name}.sh").read_text(encoding="utf-8").splitlines()
    # Without comments: the script travels with every command.
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def script(name: str, *arguments: str) -> list[str]:
    """Give the command that runs one of the scripts.

    Parameters
    ----------
    name : str
        Name of the script.
    *arguments : str
        Its arguments, ``$1`` and so on.

    Returns
    -------
    list[str]
        Program and arguments, for `worker.cluster.transport.Transport.run`.
    """
    text = f"{_text('fence')}\n{_text(name)}" if name in FENCED else _text(name)
    return ["sh", "-c", text, f"omero-worker-{name}", *arguments]
