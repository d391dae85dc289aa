"""A record that is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class NoOpWorkflowTracker:
    """Stands where nothing is to be recorded or followed: whatever it is asked to do, it does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)

        def nothing(*_arguments: Any, **_named: Any) -> None:
            """Do nothing."""

        return nothing

    def __bool__(self) -> bool:
        return False
