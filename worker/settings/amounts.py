"""Amounts of memory and time as sbatch takes them: read from text, and written."""

from __future__ import annotations

import re

_MEMORY = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)
_MIB_OF = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
_TIME = re.compile(r"(?:(\d{1,5})-)?(\d{1,7})(?::(\d{1,7}))?(?::(\d{1,7}))?")


def memory_mib(text: str) -> int:
    """Read an amount of memory.

    Parameters
    ----------
    text : str
        As ``--mem`` takes it: ``64G``, ``5GB``, ``500M``; a number alone is in MiB.

    Returns
    -------
    int
        The amount in MiB, at least 1.

    Raises
    ------
    ValueError
        It is none, or nothing.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of memory.")
    amount = float(match[1]) * _MIB_OF[match[2].upper()]
    if amount <= 0:
        raise ValueError(f"{text!r} is no memory.")
    return max(1, round(amount))


def duration_s(text: str) -> int:
    """Read a time limit.

    Parameters
    ----------
    text : str
        As ``--time`` takes it: ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``,
        ``days-hours:minutes`` or ``days-hours:minutes:seconds``.

    Returns
    -------
    int
        The time in seconds, at least 1.

    Raises
    ------
    ValueError
        It is none, or there is no limit (``UNLIMITED``).
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time.")
    days, first, second, third = (int(part) if part is not None else None for part in match.groups())
    if days is not None:
        seconds = ((days * 24 + (first or 0)) * 60 + (second or 0)) * 60 + (third or 0)
    elif third is not None:
        seconds = ((first or 0) * 60 + (second or 0)) * 60 + third
    else:
        seconds = (first or 0) * 60 + (second or 0)
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time.")
    return seconds


def write_memory(mib: int) -> str:
    """Write an amount of memory as sbatch takes it, and as a person reads it.

    Parameters
    ----------
    mib : int
        The amount in MiB.

    Returns
    -------
    str
        Such as ``8G``, or ``500M`` where it is no whole number of GiB.
    """
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"


def write_duration(seconds: int) -> str:
    """Write a time limit as sbatch takes it, and as a person reads it.

    Parameters
    ----------
    seconds : int
        The time.

    Returns
    -------
    str
        ``hours:minutes:seconds``, with ``days-`` before it where there are any.
    """
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{days}-{clock}" if days else clock
