"""What was found, or done, on a cluster: one line for each thing, with a remedy for what is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "changed", "warning", "failed"]
"""As it should be; was not, and is now; will do; will not do."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing.

    Parameters
    ----------
    what : str
        The thing, in a few words.
    state : {"ok", "changed", "warning", "failed"}
        How it is.
    detail : str
        What was found or done.
    remedy : str
        What to do about it; empty if nothing.
    """

    what: str
    state: State
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class SetupReport:
    """Everything that was looked at or done.

    Parameters
    ----------
    items : tuple of Item
        One for each thing, in the order in which they were done.
    """

    items: tuple[Item, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything has failed."""
        return any(item.state == "failed" for item in self.items)

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return any(item.state == "changed" for item in self.items)

    def summary(self) -> str:
        """Count the items of each state.

        Returns
        -------
        str
            Such as ``5 ok, 1 failed``; if all is as it was, that nothing was changed.
        """
        counts = {state: sum(item.state == state for item in self.items) for state in _ORDER}
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return told or "nothing to look at"


_ORDER: tuple[State, ...] = ("ok", "changed", "warning", "failed")
