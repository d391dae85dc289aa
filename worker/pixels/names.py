"""File names out of the names that people gave to images and plates.

Names keep their letters, whatever the script. Only what a file system, a tar archive or a shell user cannot bear is
replaced by ``_``.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_BYTES: Final = 200
"""Longest name in bytes of UTF-8, extension included; file systems take 255, and tools add endings of their own."""


def safe_stem(name: str, *, max_bytes: int = MAX_BYTES) -> str:
    """Make a name fit for a file.

    Parameters
    ----------
    name : str
        Any text.
    max_bytes : int
        How long the result may be in UTF-8.

    Returns
    -------
    str
        Without slashes, backslashes, control and other invisible characters; not empty, ``.`` or ``..``; not beginning
        with a hyphen, which commands would take for an option, or a dot, which hides a file.
    """
    text = unicodedata.normalize("NFC", name)
    text = "".join("_" if character in "/\\" or _invisible(character) else character for character in text).strip()
    if text.startswith(("-", ".")):
        text = "_" + text[1:]
    return _cut(text, max_bytes).rstrip() or "_"


def without_ending(name: str, drop: tuple[str, ...]) -> str:
    """Take an ending off a name.

    Parameters
    ----------
    name : str
        Any text.
    drop : tuple of str
        Endings in lower case; the first that fits is taken off.

    Returns
    -------
    str
        The name without it; a name that is nothing but an ending keeps it.
    """
    for ending in drop:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


class Names:
    """Hands out names, each once: a name that is taken gets ``_(1)``, ``_(2)``, ... in the order of asking.

    Parameters
    ----------
    extension : str
        What every name ends with, dot included.
    drop : tuple of str
        Endings, in lower case, that are taken off a name first, so that ``a.tif`` does not become ``a.tif.tif``.
    """

    def __init__(self, extension: str, *, drop: tuple[str, ...] = ()) -> None:
        self._extension = extension
        self._drop = drop
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """Give a file name that nobody has yet.

        Parameters
        ----------
        name : str
            Name of an image or a plate.

        Returns
        -------
        str
            A safe file name with the extension.
        """
        name = without_ending(name, self._drop)
        counter = 0
        while True:
            suffix = (f"_({counter})" if counter else "") + self._extension
            candidate = safe_stem(name, max_bytes=MAX_BYTES - len(suffix.encode())) + suffix
            if candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
            counter += 1


def _invisible(character: str) -> bool:
    # Cc control, Cf format (direction marks hide an ending), Cs lone surrogates, Zl and Zp line ends.
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _cut(text: str, max_bytes: int) -> str:
    """Shorten to a number of bytes without splitting a character."""
    return text.encode()[:max_bytes].decode(errors="ignore")
