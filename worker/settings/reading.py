"""Reading one value of slurm-config.ini or of a variable: from the text that a person wrote to a typed value."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from worker.settings.amounts import duration_s, memory_mib

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FACTOR = 100.0
"""So much more memory or time at once is a slip of the pen."""

TRUE_WORDS = ("true", "1", "yes", "y", "on")
FALSE_WORDS = ("false", "0", "no", "n", "off")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
CLUSTER_NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""What a cluster may be called."""
_WORD_OF_LIST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_PARTITIONS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:,[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_WEB_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")
_IMAGE_SOURCE = re.compile(r"[a-z][a-z0-9+-]*://[A-Za-z0-9._:/@+-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_COMMENT = re.compile(r"\s[#;]")


@dataclass(frozen=True, slots=True)
class Reader:
    """How the text of a value becomes a value.

    Parameters
    ----------
    allowed : str
        What may be written, in words, for messages.
    read : Callable[[str], object]
        Gives the value, or raises ValueError.
    may_be_followed : bool
        A comment may stand behind the value, as the value itself can hold no ``#`` or ``;`` after white space.
    """

    allowed: str
    read: Callable[[str], object]
    may_be_followed: bool = False

    def __call__(self, text: str) -> object:
        """Read a text.

        Parameters
        ----------
        text : str
            What was written; never blank.

        Returns
        -------
        object
            The typed value.

        Raises
        ------
        ValueError
            The text is not allowed here.
        """
        if self.may_be_followed:
            text = without_comment(text)
        return self.read(text.strip())


def without_comment(text: str) -> str:
    """Cut off what looks like a comment behind a value (white space, then ``#`` or ``;``).

    Parameters
    ----------
    text : str
        A value as written.

    Returns
    -------
    str
        The part before the comment.
    """
    return _COMMENT.split(text, maxsplit=1)[0].rstrip()


def as_text(value: object) -> str | None:
    """Write a value as it would stand in the file.

    Parameters
    ----------
    value : object
        The default of a field.

    Returns
    -------
    str | None
        Its text; None for what is not set.
    """
    if value is None or value == ():
        return None
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Path):
        home = Path.home()
        return f"~/{value.relative_to(home)}" if value.is_relative_to(home) else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Refuse line breaks, which a variable may hold, and what only a damaged file has."""
    if _CONTROL.search(text):
        raise ValueError(text)
    return text


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(text)


def _one_word(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        raise ValueError(text)
    return text


def _date(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is not None:
        raise ValueError(text)
    return text


def _partition(text: str) -> str:
    if not _PARTITIONS.fullmatch(text):
        raise ValueError(text)
    return text


def _ssh_host(text: str) -> str:
    # A word that starts with - would be an option of ssh.
    if text.startswith("-"):
        raise ValueError(text)
    return _one_word(text)


def _memory_text(text: str) -> str:
    memory_mib(text)
    return _one_word(text)


def _words(text: str) -> tuple[str, ...]:
    words = tuple(re.split(r"\s*,\s*|\s+", text))
    if not all(map(_WORD_OF_LIST.fullmatch, words)):
        raise ValueError(text)
    return tuple(dict.fromkeys(words))


def _cluster(text: str) -> str:
    if not CLUSTER_NAME.fullmatch(text):
        raise ValueError(text)
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(text)
    return text.lower()


def _web_url(text: str) -> str:
    if not _WEB_URL.fullmatch(text):
        raise ValueError(text)
    return text.rstrip("/")


def _image_source(text: str) -> str:
    if not _IMAGE_SOURCE.fullmatch(text):
        raise ValueError(text)
    return text


def integer(minimum: int, maximum: int | None = None) -> Reader:
    """Make a reader of whole numbers.

    Parameters
    ----------
    minimum : int
        The smallest number allowed.
    maximum : int, optional
        The greatest number allowed.

    Returns
    -------
    Reader
        The reader.
    """

    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text) or int(text) < minimum or (maximum is not None and int(text) > maximum):
            raise ValueError(text)
        return int(text)

    allowed = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    return Reader(f"a whole number {allowed}", read, may_be_followed=True)


def _factor(text: str) -> float:
    value = float(text)
    if not 1 < value <= MAX_FACTOR:
        raise ValueError(text)
    return value


def seconds(minimum_s: float) -> Reader:
    """Make a reader of durations.

    Parameters
    ----------
    minimum_s : float
        The shortest duration allowed, in seconds.

    Returns
    -------
    Reader
        The reader; its values are seconds as float.
    """

    def read(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or value < minimum_s:
            raise ValueError(text)
        return value

    return Reader(f"a number of seconds, at least {minimum_s:g}", read, may_be_followed=True)


def one_of(*choices: str) -> Reader:
    """Make a reader of a fixed set of words.

    Parameters
    ----------
    *choices : str
        The words allowed.

    Returns
    -------
    Reader
        The reader.
    """

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return Reader("one of " + ", ".join(choices), read, may_be_followed=True)


TEXT = Reader("any text", _plain)
CLUSTER_PATH = Reader("a path on the cluster", _plain)
BIND_PATH = Reader("paths on the cluster, separated by commas", _plain)
COMMAND = Reader("a command of the cluster's shell", _plain)
ADDRESS = Reader("an address that git takes, or a folder", _one_word, may_be_followed=True)
FOLDER = Reader("a folder", _plain, may_be_followed=True)
SCRIPT = Reader("a path below slurm_script_path", _plain, may_be_followed=True)
IMAGE = Reader("the name of a container image, such as org/name:1.0", _one_word, may_be_followed=True)
DATABASE_URL = Reader("an address as SQLAlchemy takes it", str)
DATE = Reader("a day, such as 2024-01-31", _date, may_be_followed=True)
SACCT_TIME = Reader("a time as sacct takes it, such as 2024-01-31", _one_word, may_be_followed=True)
PARTITION = Reader("the name of a partition, or several separated by commas", _partition, may_be_followed=True)
SSH_HOST = Reader("an alias of the ssh configuration, one word", _ssh_host, may_be_followed=True)
FACTOR = Reader(f"a number greater than 1, at most {MAX_FACTOR:g}", _factor, may_be_followed=True)
MEMORY_TEXT = Reader("an amount of memory, such as 32G or 500M", _memory_text, may_be_followed=True)
MEMORY = Reader("an amount of memory, such as 64G or 500M", memory_mib, may_be_followed=True)
DURATION = Reader("a time as sbatch takes it, such as 08:00:00 or 2-00:00:00", duration_s, may_be_followed=True)
WORD = Reader("one word", _one_word, may_be_followed=True)
WORDS = Reader("names, separated by commas", _words, may_be_followed=True)
CLUSTER = Reader("the name of a cluster, a word in lower case", _cluster, may_be_followed=True)
HOST = Reader("the name of a server, such as gitlab.com or git.example.org:8443", _host, may_be_followed=True)
WEB_URL = Reader("an address that begins with https:// or http://", _web_url, may_be_followed=True)
IMAGE_SOURCE = Reader("the start of an address, such as docker:// or oras://host/", _image_source, may_be_followed=True)
BOOLEAN = Reader("one of " + ", ".join(TRUE_WORDS + FALSE_WORDS), _boolean, may_be_followed=True)
LOCAL_PATH = Reader("a path on this machine; a relative one starts at the folder of this file", Path)
