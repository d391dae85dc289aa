"""IConfig, ITypes, ILdap and IShare: what the server says about itself."""

from __future__ import annotations

import re
from typing import Any

import omero
from omero.rtypes import rtime

from tests.lab.omero.model.encode import encode
from tests.lab.omero.model.enumerations import enumerations
from tests.lab.omero.services.base import Service, encode_all, model_class, now_ms
from tests.lab.omero.serving.dispatch import servant

VERSION = "5.6.14-standin"
"""OMERO.web looks at the first numbers of it."""

DATABASE = "00000000-0000-0000-0000-000000000001"

DEFAULTS = {
    "omero.version": VERSION,
    "omero.upgrades.url": "",
    "omero.pixeldata.max_plane_width": "3192",
    "omero.pixeldata.max_plane_height": "3192",
    "omero.client.web.host": "",
    "omero.client.download_as.max_size": "144000000",
    "omero.client.ui.tree.orphans.enabled": "true",
    "omero.client.ui.tree.orphans.name": "Orphaned Images",
    "omero.client.ui.tree.type_order": "tagset,tag,project,dataset,screen,plate,acquisition,image",
    "omero.client.ui.menu.dropdown.leaders.enabled": "true",
    "omero.client.ui.menu.dropdown.colleagues.enabled": "true",
    "omero.client.ui.menu.dropdown.everyone.enabled": "true",
    "omero.client.viewer.roi_limit": "2000",
    "omero.client.viewer.initial_zoom_level": "0",
    "omero.process.python": "omero.processor.ProcessI",
    "omero.launcher.python": "",
    "omero.scripts.timeout": "604800000",
    "omero.sessions.timeout": "600000",
}
"""Properties of the server that clients ask for, and those that matter here."""


@servant(omero.api.IConfig)
class ConfigService(Service):
    """Properties of the server."""

    def getVersion(self, current: Any = None) -> str:
        return VERSION

    def getConfigValue(self, key: str, current: Any = None) -> str:
        return self.blitz.configuration.get(key, "")

    def getConfigValues(self, pattern: str, current: Any = None) -> dict[str, str]:
        return {key: value for key, value in self.blitz.configuration.items() if re.match(pattern, key)}

    def getConfigDefaults(self, current: Any = None) -> dict[str, str]:
        return dict(DEFAULTS)

    def getClientConfigValues(self, current: Any = None) -> dict[str, str]:
        return self.getConfigValues(r"omero\.client", current)

    def getClientConfigDefaults(self, current: Any = None) -> dict[str, str]:
        return {key: value for key, value in DEFAULTS.items() if key.startswith("omero.client")}

    def setConfigValue(self, key: str, value: str, current: Any = None) -> None:
        """Set a property until the server stops."""
        if not self.call(current).is_admin:
            raise omero.SecurityViolation("", "", "only administrators change the configuration")
        self.blitz.configuration[key] = value

    def getDatabaseUuid(self, current: Any = None) -> str:
        return DATABASE

    def getServerTime(self, current: Any = None) -> Any:
        return rtime(now_ms())

    def getDatabaseTime(self, current: Any = None) -> Any:
        return rtime(now_ms())


@servant(omero.api.ITypes)
class TypesService(Service):
    """Enumerations."""

    def allEnumerations(self, class_name: str, current: Any = None) -> list[Any]:
        return encode_all(self.call(current), self.store.all(model_class(class_name)))

    def getEnumeration(self, class_name: str, value: str, current: Any = None) -> Any:
        row = self.store.enumerated(model_class(class_name), value)
        if row is None:
            raise omero.ApiUsageException("", "", f"there is no {class_name} {value}")
        return encode(self.call(current), row)

    def getEnumerationTypes(self, current: Any = None) -> list[str]:
        return sorted(enumerations())


@servant(omero.api.ILdap)
class LdapService(Service):
    """There is no directory of users here."""

    def getSetting(self, current: Any = None) -> bool:
        return False


@servant(omero.api.IShare)
class ShareService(Service):
    """There are no shares here."""

    def getOwnShares(self, active: bool, current: Any = None) -> list[Any]:
        return []

    def getMemberShares(self, active: bool, current: Any = None) -> list[Any]:
        return []


@servant(omero.api.IRepositoryInfo)
class RepositoryInfoService(Service):
    """Space on the disk below the data directory."""

    def getFreeSpaceInKilobytes(self, current: Any = None) -> int:
        return self.blitz.free_and_used_bytes()[0] // 1024

    def getUsedSpaceInKilobytes(self, current: Any = None) -> int:
        return self.blitz.free_and_used_bytes()[1] // 1024


@servant(omero.api.IProjection)
class ProjectionService(Service):
    """Not known here."""


@servant(omero.api.Search)
class SearchService(Service):
    """Not known here: there is no index."""

    stateful = True


@servant(omero.api.Exporter)
class ExporterService(Service):
    """Not known here."""

    stateful = True
