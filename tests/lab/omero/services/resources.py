"""SharedResources: processors, tables and repositories."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import omero

from tests.lab.omero.model.decode import Decoder
from tests.lab.omero.model.encode import encode
from tests.lab.omero.services.base import Service
from tests.lab.omero.services.files import ScriptRepositoryService
from tests.lab.omero.services.imports import ManagedRepositoryService
from tests.lab.omero.services.tables import MIMETYPE, TableService
from tests.lab.omero.serving.dispatch import log, servant, unlocked, writes
from tests.lab.omero.serving.switchboard import name_of

if TYPE_CHECKING:
    from tests.lab.omero.model.rows import Row


@servant(omero.grid.SharedResources)
class SharedResourcesService(Service):
    """What the servers of a grid offer."""

    # Processors

    def addProcessor(self, processor: Any, current: Any = None) -> None:
        proxy = omero.grid.ProcessorPrx.uncheckedCast(self.blitz.switchboard.reach(processor))
        self.blitz.processors[name_of(processor)] = proxy
        log.info("processor %s has come", name_of(processor))

    def removeProcessor(self, processor: Any, current: Any = None) -> None:
        self.blitz.processors.pop(name_of(processor), None)
        log.info("processor %s has gone", name_of(processor))

    @unlocked
    def acquireProcessor(self, job: Any, seconds: int, current: Any = None) -> Any:
        with self.store.transaction():
            call = self.call(current)
            if job._id is None:
                row = Decoder(self.store, call, self.event(call)).save(job)
            else:
                row = self.visible(call, "Job", job._id.val)
            if row["status"] is None:
                self.store.set(row, status=self.store.enumerated("JobStatus", "Submitted"))
        process = self.blitz.acquire(self.session, call, row, seconds)
        proxy = self.blitz.switchboard.publish(self.session, process, f"InteractiveProcessor-{uuid.uuid4()}")
        return omero.grid.InteractiveProcessorPrx.uncheckedCast(proxy)

    # Tables

    def areTablesEnabled(self, current: Any = None) -> bool:
        return True

    def _table(self, file: Row) -> Any:
        table = TableService(self.blitz, self.session, file)
        proxy = self.blitz.switchboard.publish(self.session, table, f"Table-{uuid.uuid4()}")
        return omero.grid.TablePrx.uncheckedCast(proxy)

    @writes
    def newTable(self, repository_id: int, path: str, current: Any = None) -> Any:
        """Make a table; there is one place for tables, so that the id of a repository does not matter."""
        call = self.call(current)
        owner, group = call.owner_and_group(None)
        directory, slash, name = path.rpartition("/")
        file = self.store.new("OriginalFile", owner, group, self.event(call), name=name, path=directory + slash)
        self.store.set(file, mimetype=MIMETYPE, size=0, hash="")
        return self._table(file)

    def openTable(self, file: Any, current: Any = None) -> Any:
        row = self.visible(self.call(current), "OriginalFile", file._id.val)
        if row["mimetype"] != MIMETYPE:
            raise omero.ApiUsageException("", "", f"{row} is no table")
        return self._table(row)

    # Repositories

    def _repository(self, implementation: Any, prefix: str) -> Any:
        name = f"Repository-{implementation.repository}"
        proxy = self.blitz.switchboard.publish_once(
            self.session, name, lambda: implementation(self.blitz, self.session)
        )
        return getattr(omero.grid, prefix).uncheckedCast(proxy)

    @writes
    def repositories(self, current: Any = None) -> Any:
        result = omero.grid.RepositoryMap([], [])
        known = ((ManagedRepositoryService, "ManagedRepositoryPrx"), (ScriptRepositoryService, "RepositoryPrx"))
        for implementation, prefix in known:
            row = self.blitz.repository(implementation.repository)
            result.descriptions.append(encode(self.call(current), row))
            result.proxies.append(self._repository(implementation, prefix))
        return result

    @writes
    def getScriptRepository(self, current: Any = None) -> Any:
        return self._repository(ScriptRepositoryService, "RepositoryPrx")
