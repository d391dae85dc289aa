"""Glacier2's router inside of the server itself: sessions, and callbacks over the client's own connection."""

from __future__ import annotations

import logging
import threading
import uuid
from typing import TYPE_CHECKING, Any

import Glacier2
import Ice

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.omero.blitz import Blitz

log = logging.getLogger("omero.standin")


def connection_key(connection: Any) -> str:
    """Return what tells connections apart: IcePy's cannot be hashed."""
    return str(connection.toString())


class Forward(Ice.Blobject):  # type: ignore[misc]  # Ice has no type information
    """Passes requests on to an object elsewhere."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def ice_invoke(self, data: bytes, current: Any) -> Any:
        target = self._target.ice_facet(current.facet) if current.facet else self._target
        if current.requestId == 0:
            target = target.ice_oneway()
        return target.ice_invoke(current.operation, current.mode, data, current.ctx)


class Locator(Ice.ServantLocator):  # type: ignore[misc]  # Ice has no type information
    """Finds what is no servant of this server: objects of clients, and objects that clients want to reach."""

    def __init__(self, blitz: Blitz, routes: dict[tuple[str, str], Any]) -> None:
        self._blitz = blitz
        self._routes = routes

    def locate(self, current: Any) -> Any:
        connection = self._blitz.switchboard.clients.get(current.id.category)
        if connection is not None:
            return Forward(connection.createProxy(current.id)), None
        target = self._routes.get((current.id.category, current.id.name))
        return (Forward(target), None) if target is not None else None

    def finished(self, current: Any, servant: Any, cookie: Any) -> None:
        pass

    def deactivate(self, category: str) -> None:
        pass


class OnClose(Ice.ConnectionCallback):  # type: ignore[misc]  # Ice has no type information
    """Calls back when a connection is closed."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def heartbeat(self, connection: Any) -> None:
        pass

    def closed(self, connection: Any) -> None:
        threading.Thread(target=self._action, daemon=True).start()


class Router(Glacier2.Router):  # type: ignore[misc]  # Ice has no type information
    """The router that clients log in with."""

    def __init__(self, blitz: Blitz, routes: dict[tuple[str, str], Any]) -> None:
        self._blitz = blitz
        self._routes = routes
        self._factories: dict[str, Any] = {}
        self._categories: dict[str, str] = {}

    def getClientProxy(self, current: Any = None) -> None:
        """Return nothing, which tells a client to use the endpoints that it knows."""

    def getServerProxy(self, current: Any = None) -> Any:
        return self._blitz.switchboard.main.createProxy(Ice.Identity("dummy", self._category(current)))

    def getCategoryForClient(self, current: Any = None) -> str:
        return self._category(current)

    def addProxies(self, proxies: list[Any], current: Any = None) -> list[Any]:
        switchboard = self._blitz.switchboard
        for proxy in proxies:
            # What has our own endpoints is, or was, one of our servants or a callback of a client: sending requests
            # for it there would send them round in circles once it is gone.
            if not switchboard.is_own(proxy):
                identity = proxy.ice_getIdentity()
                self._routes[identity.category, identity.name] = proxy.ice_router(None)
        return []

    def addProxy(self, proxy: Any, current: Any = None) -> None:
        self.addProxies([proxy], current)

    def createSession_async(self, callback: Any, user: str, password: str, current: Any = None) -> None:
        try:
            self._category(current)
            reason = self._blitz.refusal(user, password)
            if reason is not None:
                callback.ice_exception(Glacier2.PermissionDeniedException(reason))
                return
            factory = self._blitz.open_factory(user, current.ctx)
            self._factories[connection_key(current.con)] = factory
            callback.ice_response(Glacier2.SessionPrx.uncheckedCast(factory.proxy))
        except Exception as error:
            log.exception("createSession(%s)", user)
            callback.ice_exception(Glacier2.CannotCreateSessionException(str(error)))

    def createSessionFromSecureConnection_async(self, callback: Any, current: Any = None) -> None:
        callback.ice_exception(Glacier2.PermissionDeniedException("certificates are not supported"))

    def refreshSession_async(self, callback: Any, current: Any = None) -> None:
        callback.ice_response()

    def destroySession(self, current: Any = None) -> None:
        factory = self._factories.pop(connection_key(current.con), None)
        if factory is None:
            raise Glacier2.SessionNotExistException
        factory.release()

    def getSessionTimeout(self, current: Any = None) -> int:
        return 600

    def getACMTimeout(self, current: Any = None) -> int:
        return 60

    def _category(self, current: Any) -> str:
        key = connection_key(current.con)
        if key not in self._categories:
            category = f"c{uuid.uuid4().hex[:12]}"
            self._categories[key] = category
            self._blitz.switchboard.clients[category] = current.con
            current.con.setCallback(OnClose(lambda: self._gone(key, category)))
        return self._categories[key]

    def _gone(self, key: str, category: str) -> None:
        if self._blitz.stopping:
            # The clients lose their connections because of us; their sessions are to be there after a restart.
            return
        self._blitz.switchboard.clients.pop(category, None)
        self._categories.pop(key, None)
        factory = self._factories.pop(key, None)
        if factory is not None:
            factory.release()


class Verifier(Glacier2.PermissionsVerifier):  # type: ignore[misc]  # Ice has no type information
    """Checks passwords for a glacier2router that runs as a process of its own."""

    def __init__(self, blitz: Blitz) -> None:
        self._blitz = blitz

    def checkPermissions(self, user: str, password: str, current: Any = None) -> tuple[bool, str]:
        reason = self._blitz.refusal(user, password)
        return reason is None, reason or ""


class Manager(Glacier2.SessionManager):  # type: ignore[misc]  # Ice has no type information
    """Opens sessions for a glacier2router, and for servers of the grid, which need no password."""

    def __init__(self, blitz: Blitz) -> None:
        self._blitz = blitz

    def create(self, user: str, control: Any, current: Any = None) -> Any:
        try:
            factory = self._blitz.open_factory(user, current.ctx, direct=True)
        except Exception as error:
            log.exception("create(%s)", user)
            raise Glacier2.CannotCreateSessionException(str(error)) from error
        return Glacier2.SessionPrx.uncheckedCast(factory.proxy)
