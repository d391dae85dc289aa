"""The fixed POSIX shell scripts that run on the cluster.

Each is sent as an argument of ``sh -c``; whatever changes reaches it as an argument or through its standard input, so
that no value is ever part of a program.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

FUNCTIONS = {
    "enter": ("list_files", "list_checksums", "pack", "send_rest"),
    "fence": ("submit", "find_by_key", "unpack", "put_in_place", "remove_inputs"),
    "pulls": ("start_pulls", "run_pulls", "pull_image", "look_at_pulls", "make_folders", "inspect"),
    "runtime": ("pull_image", "inspect"),
}
"""Files of functions, and the scripts that use them."""


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
    return ["sh", "-c", program(name), f"omero-worker-{name}", *arguments]


def program(name: str) -> str:
    """Give the text of one of the scripts, with the functions that it uses.

    Parameters
    ----------
    name : str
        Name of the script.

    Returns
    -------
    str
        A program for ``sh -c``, or a file.
    """
    functions = [_text(file) for file, users in FUNCTIONS.items() if name in users]
    return "\n".join((*functions, _text(name)))
