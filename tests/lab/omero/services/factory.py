"""ServiceFactory: what a client holds after it has logged in."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import omero
import omero.model

from tests.lab.omero.services.administration import AdminService
from tests.lab.omero.services.base import Service
from tests.lab.omero.services.commands import Handle, carry_out
from tests.lab.omero.services.configuration import (
    ConfigService,
    ExporterService,
    LdapService,
    ProjectionService,
    RepositoryInfoService,
    SearchService,
    ShareService,
    TypesService,
)
from tests.lab.omero.services.containers import ContainerService, RoiService, TimelineService
from tests.lab.omero.services.files import RawFileService
from tests.lab.omero.services.jobs import JobService
from tests.lab.omero.services.metadata import MetadataService
from tests.lab.omero.services.pixels import PixelsService, RawPixelsService
from tests.lab.omero.services.query import QueryService
from tests.lab.omero.services.rendering import RenderingEngineService
from tests.lab.omero.services.resources import SharedResourcesService
from tests.lab.omero.services.scripts import ScriptService
from tests.lab.omero.services.sessions import SessionService
from tests.lab.omero.services.settings import RenderingSettingsService
from tests.lab.omero.services.thumbnails import ThumbnailService
from tests.lab.omero.services.update import UpdateService
from tests.lab.omero.serving.dispatch import servant, unlocked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.lab.omero.blitz import Blitz
    from tests.lab.omero.security.sessions import Session

_STATELESS: dict[str, tuple[str, Any]] = {
    "getAdminService": ("omero.api.IAdmin", AdminService),
    "getConfigService": ("omero.api.IConfig", ConfigService),
    "getContainerService": ("omero.api.IContainer", ContainerService),
    "getLdapService": ("omero.api.ILdap", LdapService),
    "getMetadataService": ("omero.api.IMetadata", MetadataService),
    "getPixelsService": ("omero.api.IPixels", PixelsService),
    "getProjectionService": ("omero.api.IProjection", ProjectionService),
    "getQueryService": ("omero.api.IQuery", QueryService),
    "getRenderingSettingsService": ("omero.api.IRenderingSettings", RenderingSettingsService),
    "getRepositoryInfoService": ("omero.api.IRepositoryInfo", RepositoryInfoService),
    "getRoiService": ("omero.api.IRoi", RoiService),
    "getScriptService": ("omero.api.IScript", ScriptService),
    "getSessionService": ("omero.api.ISession", SessionService),
    "getShareService": ("omero.api.IShare", ShareService),
    "getTimelineService": ("omero.api.ITimeline", TimelineService),
    "getTypesService": ("omero.api.ITypes", TypesService),
    "getUpdateService": ("omero.api.IUpdate", UpdateService),
    "sharedResources": ("omero.grid.SharedResources", SharedResourcesService),
}
_STATEFUL: dict[str, tuple[str, Any]] = {
    "createExporter": ("omero.api.Exporter", ExporterService),
    "createJobHandle": ("omero.api.JobHandle", JobService),
    "createRawFileStore": ("omero.api.RawFileStore", RawFileService),
    "createRawPixelsStore": ("omero.api.RawPixelsStore", RawPixelsService),
    "createRenderingEngine": ("omero.api.RenderingEngine", RenderingEngineService),
    "createSearchService": ("omero.api.Search", SearchService),
    "createThumbnailStore": ("omero.api.ThumbnailStore", ThumbnailService),
}


def _proxy_class(name: str) -> Any:
    _, package, interface = name.split(".")
    return getattr(getattr(omero, package), f"{interface}Prx")


class _Factory(Service):
    """A session as one client has it.

    Parameters
    ----------
    blitz, session
        As for every service.
    identity : Ice.Identity
        Where it is reached.
    direct : bool
        Whether the client is a server of the grid.
    """

    def __init__(self, blitz: Blitz, session: Session, identity: Any, *, direct: bool) -> None:
        super().__init__(blitz, session)
        self.identity = identity
        self.direct = direct
        self._detached = False
        self._gone = False

    @property
    def proxy(self) -> Any:
        """The proxy of this factory."""
        return self.blitz.switchboard.proxy(self.identity, direct=self.direct)

    def release(self) -> None:
        """Let go of the session; it ends with the last client, unless that wanted it to stay."""
        if self._gone:
            return
        self._gone = True
        self.blitz.switchboard.remove(self.identity)
        self.session.references -= 1
        if not self._detached and self.session.references <= 0:
            self.blitz.sessions.close(self.session)

    @unlocked
    def destroy(self, current: Any = None) -> None:
        self.release()

    def detachOnDestroy(self, current: Any = None) -> None:
        self._detached = True

    def closeOnDestroy(self, current: Any = None) -> None:
        self._detached = False

    def keepAlive(self, proxy: Any, current: Any = None) -> bool:
        return True

    def keepAllAlive(self, proxies: Sequence[Any], current: Any = None) -> int:
        """Return what a client takes for: all of them live."""
        return 0

    def setCallback(self, callback: Any, current: Any = None) -> None:
        """Do nothing: clients are not told of the end of their sessions here."""

    def subscribe(self, topic: str, proxy: Any, current: Any = None) -> None:
        """Do nothing: there are no topics here."""

    def activeServices(self, current: Any = None) -> list[str]:
        return [name for name, service in self.session.servants.items() if getattr(service, "stateful", False)]

    def getByName(self, name: str, current: Any = None) -> Any:
        for operation, (known, _) in _STATELESS.items():
            if known == name and known.startswith("omero.api"):
                return omero.api.ServiceInterfacePrx.uncheckedCast(getattr(self, operation)(current))
        raise omero.ApiUsageException("", "", f"unknown service {name}")

    def createByName(self, name: str, current: Any = None) -> Any:
        for operation, (known, _) in _STATEFUL.items():
            if known == name:
                return omero.api.StatefulServiceInterfacePrx.uncheckedCast(getattr(self, operation)(current))
        raise omero.ApiUsageException("", "", f"unknown service {name}")

    def getSecurityContexts(self, current: Any = None) -> list[Any]:
        groups = self.blitz.people.groups_of(self.session.user)
        return [omero.model.ExperimenterGroupI(group.id, False) for group in groups]

    @unlocked
    def setSecurityContext(self, obj: Any, current: Any = None) -> Any:
        with self.store.lock:
            old, people = self.session.group, self.blitz.people
            group = people.group_by_id(obj._id.val)
            if group not in people.groups_of(self.session.user) and not self.session.is_admin:
                raise omero.SecurityViolation(
                    "", "", f"user {self.session.user.id} is not a member of group {group.id}"
                )
            self.blitz.sessions.set_group(self.session, group)
            return omero.model.ExperimenterGroupI(old.id, False)

    def setSecurityPassword(self, password: str, current: Any = None) -> None:
        if not self.blitz.people.check_password(self.session.user["omeName"], password):
            raise omero.SecurityViolation("", "", "Bad password")

    @unlocked
    def submit(self, request: Any, current: Any = None) -> Any:
        with self.store.lock:
            response = carry_out(self.blitz, self.call(current), request)
        handle = Handle(self.blitz, self.session, request, response)
        name = f"Handle-{uuid.uuid4()}"
        proxy = self.blitz.switchboard.publish(self.session, handle, name, direct=self.direct)
        return omero.cmd.HandlePrx.uncheckedCast(proxy)


def _getter(name: str, implementation: Any) -> Callable[..., Any]:
    def get(self: Any, current: Any = None) -> Any:
        proxy = self.blitz.switchboard.publish_once(
            self.session, name, lambda: implementation(self.blitz, self.session), direct=self.direct
        )
        return _proxy_class(name).uncheckedCast(proxy)

    return get


def _maker(name: str, implementation: Any) -> Callable[..., Any]:
    def create(self: Any, current: Any = None) -> Any:
        service = implementation(self.blitz, self.session)
        # The interface's name has to be in the identity: BlitzGateway looks for it.
        proxy = self.blitz.switchboard.publish(self.session, service, f"{uuid.uuid4()}{name}", direct=self.direct)
        return _proxy_class(name).uncheckedCast(proxy)

    return create


for _operation, (_name, _implementation) in _STATELESS.items():
    setattr(_Factory, _operation, _getter(_name, _implementation))
for _operation, (_name, _implementation) in _STATEFUL.items():
    setattr(_Factory, _operation, _maker(_name, _implementation))

ServiceFactory: Any = servant(omero.api.ServiceFactory)(_Factory)
"""The servant of a factory; its arguments are those of :class:`_Factory`."""
