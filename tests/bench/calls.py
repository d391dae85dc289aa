"""Counts the calls that a gateway makes to OMERO, and makes each of them as slow as a network would.

A wrapper over the service factory of a session: what is created through it is wrapped too, so that calls are counted
whoever makes them, BlitzGateway's own included.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import Ice

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

_BY_NAME = {"getByName", "createByName"}
"""Their results are cast, which only works on real proxies."""


class Calls:
    """Counts of the calls to each operation.

    Parameters
    ----------
    latency_s : float
        How long each call takes longer than it does.
    """

    def __init__(self, latency_s: float = 0.0) -> None:
        self.counts: Counter[str] = Counter()
        self.latency_s = latency_s
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Number of calls."""
        return self.counts.total()

    def count(self, operation: str) -> None:
        """Count a call, and wait."""
        with self._lock:
            self.counts[operation] += 1
        if self.latency_s:
            time.sleep(self.latency_s)


class Counted:
    """A proxy of Ice whose calls are counted.

    Parameters
    ----------
    proxy : Ice.ObjectPrx
        The real one.
    calls : Calls
        Where to count.
    """

    def __init__(self, proxy: Any, calls: Calls) -> None:
        self._proxy = proxy
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._proxy, name)
        if name.startswith("_") or not callable(attribute):
            return attribute

        def call(*arguments: Any, **keywords: Any) -> Any:
            # What begins with ice_ makes another proxy of this one, and asks nobody.
            if not name.startswith("ice_"):
                self._calls.count(name)
            result = attribute(*arguments, **keywords)
            is_service = isinstance(result, Ice.ObjectPrx) and name not in _BY_NAME
            return Counted(result, self._calls) if is_service else result

        return call


def count_calls(gateway: BlitzGateway, *, latency_s: float = 0.0) -> Calls:
    """Count what a gateway asks from now on.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway.
    latency_s : float
        How long each call takes longer than it does.

    Returns
    -------
    Calls
        The counts, which grow.
    """
    calls = Calls(latency_s)
    gateway.c.sf = Counted(gateway.c.sf, calls)
    gateway._createProxies()  # services are made anew, through the wrapper
    return calls
