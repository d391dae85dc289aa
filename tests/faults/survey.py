"""Which places a run has, and what it leaves on the cluster: as one without faults does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.boundary import Boundary
from tests.faults.engine import EngineProcess, Orders
from tests.faults.evidence import files_in
from tests.faults.stage import NotReady

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.kinds import Kind
    from tests.faults.stage import Grounds

TIMEOUT_S = 90.0

CHANCE = re.compile(r"ProgressUpdated|StatusUpdated:(nuclei:|convert:|)(?!PENDING)(RUNNING|COMPLETED)|Command:query")
"""Places that a run only passes if somebody looks at the right moment."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A run without faults."""

    places: tuple[Boundary, ...]
    """The places that it has passed, each once, in their order."""
    files: Mapping[str, str]
    """Digests of what it has left in the folder on the cluster that it was to make, by path."""


def survey(grounds: Grounds, kind: Kind) -> Survey:
    """Let a run of a kind pass without faults.

    Parameters
    ----------
    grounds : Grounds
        What cases share.
    kind : Kind
        The kind.

    Returns
    -------
    Survey
        Its places, and its files.
    """
    with grounds.case(kind) as stage:
        run_id = stage.accept()
        path = stage.deployment.directory / "places"
        log = stage.deployment.directory / "engine.log"
        engine = EngineProcess(Orders(environ=stage.environ, log=log, tasks=stage.tasks(run_id), survey=path))
        try:
            run = stage.wait_for_end(run_id, TIMEOUT_S)
        finally:
            engine.end()
        if run.status != "COMPLETED":
            raise NotReady(f"{run.status} {run.error_message or run.paused_reason}\n{log.read_text('utf-8')}")
        files = files_in(stage.data_path / stage.folder)
        places = [Boundary.parse(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Survey(tuple(place for place in dict.fromkeys(places) if not CHANCE.search(place.what)), files)
