"""``omero-worker serve``: the engine service."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from worker.cli.logfile import log_path, log_to_file
from worker.engine.assembly import open_record, open_resources
from worker.engine.catalogue import refresh_catalogue
from worker.engine.omero import ServiceAccess
from worker.engine.service import WIDTHS, Service
from worker.errors import WorkerError
from worker.results.inplace.checking import examine_importer

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from worker.engine.context import Resources
    from worker.settings.environment import WorkerEnvironment

log = structlog.get_logger(__name__)


def serve(
    threads: Annotated[int, typer.Option(min=1, max=64, help="Runs that are looked at at the same time.")] = 8,
    refresh_every: Annotated[
        float | None,
        typer.Option(min=10, help="Seconds between looks at workflows; by default as [ANALYSES] refresh_minutes says."),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that steps in flight are given when the service is to stop.")
    ] = 20.0,
) -> None:
    """Drive all runs to their end, until this process is told to stop (SIGTERM or Ctrl-C)."""
    log_to_file(log_path())
    with open_record() as record:
        for warning in (*record.settings.warnings, *record.environment.warnings):
            log.warning("settings", problem=warning)
        if record.environment.importer_enabled:
            _look_at_importer(record.environment)
        access = ServiceAccess(record.environment)
        # An existing history is computed anew once; better now than in the first person's run.
        record.tracker.pull_and_process()
        with open_resources(record, access) as resources:
            service = Service(
                resources,
                record.database,
                record.reader,
                refresh=partial(_refresh, resources, record.environment.state_dir),
                widths=dict(WIDTHS, control=threads),
                refresh_interval_s=refresh_every or 60.0 * record.settings.analyses.refresh_minutes,
                grace_s=grace,
            )

            def stop(_signal: int, _frame: FrameType | None) -> None:
                service.stop()

            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            if service.run():
                # Threads that wait for a silent network cannot be ended; nothing is lost with them.
                sys.stdout.flush()
                os._exit(0)


def _look_at_importer(environment: WorkerEnvironment) -> None:
    """Warn of what keeps results from being imported in place; it may be mended while the service runs."""
    try:
        state = examine_importer(environment)
    except WorkerError as error:
        log.warning("importer", problem=str(error))
        return
    for problem in state.settings.problems():
        log.warning("importer", problem=problem)
    if state.backlog.forgotten:
        log.warning("importer", problem="it seems to be down", orders_waiting=state.backlog.orders)
    if state.backlog.shared:
        log.warning("importer", problem="several importers share one table", orders_begun_twice=state.backlog.shared)


def _refresh(resources: Resources, state_dir: Path) -> None:
    """Refresh the catalogue by the settings as they are now."""
    refresh_catalogue(resources.settings, lambda name: resources.clusters.get(name).transport, state_dir=state_dir)
