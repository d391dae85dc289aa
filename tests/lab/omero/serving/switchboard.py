"""Object adapters: where servants are reached, and how clients behind the router are reached back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import Ice

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.omero.security.sessions import Session


class Switchboard:
    """The adapters of a server.

    All of them know the same servants; the first is the one that clients use, further ones are for the servers of a
    grid.
    """

    def __init__(self) -> None:
        self._adapters: list[Any] = []
        self.clients: dict[str, Any] = {}
        """Connections by the category that the router has given to their callbacks."""

    def attach(self, adapter: Any) -> None:
        """Add an adapter."""
        self._adapters.append(adapter)

    @property
    def main(self) -> Any:
        """The adapter that clients use."""
        return self._adapters[0]

    @property
    def internal(self) -> Any:
        """The adapter that servers of the grid use."""
        return self._adapters[-1]

    def add(self, servant: Any, identity: Any) -> None:
        """Make a servant reachable."""
        for adapter in self._adapters:
            with contextlib.suppress(Ice.AlreadyRegisteredException):
                adapter.add(servant, identity)

    def remove(self, identity: Any) -> None:
        """Make a servant unreachable."""
        for adapter in self._adapters:
            with contextlib.suppress(Ice.NotRegisteredException, Ice.ObjectAdapterDeactivatedException):
                adapter.remove(identity)

    def knows(self, identity: Any) -> bool:
        """Whether there is a servant of that identity."""
        return self.main.find(identity) is not None

    def is_own(self, proxy: Any) -> bool:
        """Whether the object of a proxy is reached through this server."""
        own = {str(endpoint) for adapter in self._adapters for endpoint in adapter.getEndpoints()}
        return any(str(endpoint) in own for endpoint in proxy.ice_getEndpoints())

    def proxy(self, identity: Any, *, direct: bool = False) -> Any:
        """Return a proxy for a servant; a direct one is for servers of the grid."""
        return (self.internal if direct else self.main).createProxy(identity)

    def publish(self, session: Session, servant: Any, name: str, *, direct: bool = False) -> Any:
        """Make a servant reachable as part of a session, and return its proxy."""
        identity = Ice.Identity(name, session.uuid)
        if name in session.servants:
            self.remove(identity)
        session.servants[name] = servant
        self.add(servant, identity)
        return self.proxy(identity, direct=direct)

    def publish_once(self, session: Session, name: str, make: Callable[[], Any], *, direct: bool = False) -> Any:
        """Return the proxy of a session's servant, which is made when it is first asked for."""
        if name not in session.servants:
            return self.publish(session, make(), name, direct=direct)
        return self.proxy(Ice.Identity(name, session.uuid), direct=direct)

    def withdraw(self, session: Session, identity: Any) -> None:
        """Make a servant of a session unreachable."""
        session.servants.pop(identity.name, None)
        self.remove(identity)

    def reach(self, proxy: Any) -> Any:
        """Return a proxy by which an object of a client is reached: over the client's own connection.

        Such a proxy can be called, but neither be printed nor be handed on.
        """
        if proxy is None:
            return None
        connection = self.clients.get(proxy.ice_getIdentity().category)
        return connection.createProxy(proxy.ice_getIdentity()) if connection is not None else proxy.ice_router(None)


def name_of(proxy: Any) -> str:
    """Return a name for the object of a proxy."""
    identity = proxy.ice_getIdentity()
    return f"{identity.category}/{identity.name}"
