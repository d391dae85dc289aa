"""``omero-worker serve`` and ``refresh``: the engine service and the catalogue that dialogs read."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from worker.engine.assembly import open_record, open_resources, open_settings, open_transport
from worker.engine.catalogue import refresh_catalogue
from worker.engine.omero import ServiceAccess
from worker.engine.service import WIDTHS, Service

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from worker.cluster.transport import Transport
    from worker.engine.context import Resources

log = structlog.get_logger(__name__)


def serve(
    threads: Annotated[int, typer.Option(min=1, max=64, help="Runs that are looked at at the same time.")] = 8,
    refresh_every: Annotated[float, typer.Option(min=10, help="Seconds between looks at workflows.")] = 300.0,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that steps in flight are given when the service is to stop.")
    ] = 20.0,
) -> None:
    """Drive all runs to their end, until this process is told to stop (SIGTERM or Ctrl-C)."""
    with open_record() as record:
        for warning in (*record.settings.warnings, *record.environment.warnings):
            log.warning("settings", problem=warning)
        if record.environment.importer_enabled:
            log.warning("importer", problem="results cannot be imported in place yet; they go through the OMERO API")
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
                refresh_interval_s=refresh_every,
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


def _refresh(resources: Resources, state_dir: Path) -> None:
    """Refresh the catalogue by the settings as they are now."""
    refresh_catalogue(resources.settings, lambda name: resources.clusters.get(name).transport, state_dir=state_dir)


def refresh() -> None:
    """Look at workflows, versions and descriptors once, and write what the dialogs show."""
    settings, environment = open_settings()
    with ExitStack() as stack:

        def transport(cluster: str) -> Transport:
            return stack.enter_context(closing(open_transport(settings.cluster(cluster).ssh)))

        # Who asks for it now has mended something.
        catalogue = refresh_catalogue(settings, transport, state_dir=environment.state_dir, ask_now=True)
    for entry in catalogue.entries:
        versions = ", ".join(entry.versions) or "no image on the cluster"
        typer.echo(f"{entry.name}: {versions}{'; ' + entry.problem if entry.problem else ''}")
    if catalogue.note:
        typer.echo(catalogue.note)
