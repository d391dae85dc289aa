"""An engine service for which the results of one run are poison: the kernel kills it in the midst of their import.

It is the real service in a process of its own, forked from one that has imported everything. What kills it is a real
SIGKILL, sent when all has been written into OMERO and nothing of that is recorded: no moment is worse.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import worker.history.migration
import worker.pixels.exporter  # noqa: F401 - what a service imports later on
from worker.cli.main import configure_logging
from worker.engine import steps
from worker.engine.assembly import open_record, open_resources
from worker.engine.omero import ServiceAccess
from worker.engine.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from worker.engine.context import Outcome, StepContext


@contextmanager
def engine(environ: Mapping[str, str], log: Path, poison: UUID | None) -> Iterator[Any]:
    """Run an engine; at the end it is stopped, if it still runs.

    Parameters
    ----------
    environ : mapping of str to str
        Its environment.
    log : Path
        Where its log is appended.
    poison : UUID or None
        The run that kills it; None: there is none any more.

    Yields
    ------
    Process
        The process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_work, args=(dict(environ), log, poison), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(20)


def _work(environ: dict[str, str], log: Path, poison: UUID | None) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environ)
    configure_logging()
    bring_in = steps.STEPS["import"]

    def bring_in_or_die(step: StepContext) -> Outcome:
        outcome = bring_in(step)
        if step.run_id == poison:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    steps.STEPS = {**steps.STEPS, "import": bring_in_or_die}
    with open_record() as record, open_resources(record, ServiceAccess(record.environment)) as resources:
        service = Service(resources, record.database, record.reader, refresh=lambda: None, tick_s=0.1, grace_s=3.0)
        signal.signal(signal.SIGTERM, lambda *_: service.stop())
        service.run()
    os._exit(0)
