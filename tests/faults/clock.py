"""A clock that somebody sets while an engine runs: the time of day jumps, monotonic time does not."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo

_read = time.time
_offset_s = 0.0


class _AnyDatetime(type):
    """Takes every datetime for an instance, as the class that it stands in for does."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class JumpingDatetime(datetime, metaclass=_AnyDatetime):
    """What the modules under test call ``datetime``."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # others add to it: it is no `Self`
        """The time of day, as this process's clock shows it."""
        return datetime.now(tz) + timedelta(seconds=_offset_s)


def install() -> None:
    """Let this process ask the clock that can be set."""
    time.time = lambda: _read() + _offset_s
    for name, module in list(sys.modules.items()):
        ours = name.partition(".")[0] in ("worker", "eventsourcing")
        if ours and getattr(module, "datetime", None) is datetime:
            module.datetime = JumpingDatetime  # type: ignore[attr-defined]  # a module of any name


def jump(seconds: float) -> None:
    """Set the clock, by so many seconds."""
    global _offset_s
    _offset_s += seconds
