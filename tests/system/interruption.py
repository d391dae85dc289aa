"""A gateway that dies at a chosen write, as its process would if it were killed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from omero.gateway import BlitzGateway

WRITES: Final = frozenset(
    {
        *("saveObject", "saveAndReturnObject", "saveArray", "saveAndReturnArray", "saveAndReturnIds", "submit"),
        *("setPlane", "setTile", "setChannelGlobalMinMax", "save", "write", "truncate"),
        *("newTable", "initialize", "addData"),
    }
)
"""Calls that change something in OMERO."""


class Killed(BaseException):
    """The process is dead. Not an Exception: nothing may handle it, as nothing handles a SIGKILL."""


class MortalGateway:
    """A gateway whose process dies at its n-th write.

    Parameters
    ----------
    gateway : BlitzGateway
        A living one.
    dies_at : int or None
        Number of the write, from 1; None never dies, and only keeps account.
    reply_lost : bool
        Whether that write still reaches OMERO.

    Attributes
    ----------
    writes : list of str
        Which calls have written so far, in their order.
    calls : Counter
        How often each call was made, whether it writes or not.
    """

    def __init__(self, gateway: BlitzGateway, dies_at: int | None = None, *, reply_lost: bool = False) -> None:
        self._gateway = gateway
        self._dies_at = dies_at
        self._reply_lost = reply_lost
        self._dead = False
        self.writes: list[str] = []
        self.calls: Counter[str] = Counter()

    @property
    def c(self) -> Any:
        """The client, whose services are mortal too."""
        return _Mortal(self, self._gateway.c)

    def __getattr__(self, name: str) -> Any:
        return getattr(_Mortal(self, self._gateway), name)

    def call(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Make one call, and die of it if its time has come."""
        if self._dead:
            raise Killed
        self.calls[name] += 1
        if name in WRITES:
            self.writes.append(name)
            if len(self.writes) == self._dies_at:
                self._dead = True
                if self._reply_lost:
                    function(*arguments, **named)
                raise Killed
        answer = function(*arguments, **named)
        # Services and their factory lead to further calls; plain answers do not.
        return _Mortal(self, answer) if hasattr(answer, "ice_getIdentity") else answer


class _Mortal:
    """Something that belongs to the mortal process: the client, its factory, a service."""

    def __init__(self, process: MortalGateway, thing: Any) -> None:
        self._process = process
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if name == "sf":
            return _Mortal(self._process, value)
        if not callable(value) or name.startswith("_"):
            return value
        return lambda *arguments, **named: self._process.call(name, value, arguments, named)
