"""Which places a run has: those that a run without faults passes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.faults.boundary import Boundary
from tests.faults.engine import EngineProcess, Orders

if TYPE_CHECKING:
    from tests.faults.stage import Grounds

TIMEOUT_S = 90.0

CHANCE = re.compile(r"ProgressUpdated|StatusUpdated:nuclei:(?!PENDING)|Command:query")
"""Places that a run only passes if somebody looks at the right moment."""


class SurveyFailed(RuntimeError):
    """A run without faults did not come to its end: there is nothing to test faults on."""


def survey(grounds: Grounds) -> list[Boundary]:
    """Let a run pass without faults.

    Parameters
    ----------
    grounds : Grounds
        What cases share.

    Returns
    -------
    list of Boundary
        The places that it has passed, each once, in their order.
    """
    with grounds.case() as stage:
        run_id = stage.accept()
        path = stage.deployment.directory / "places"
        log = stage.deployment.directory / "engine.log"
        engine = EngineProcess(Orders(environ=stage.environ, log=log, tasks=stage.tasks(run_id), survey=path))
        try:
            run = stage.wait_for_end(run_id, TIMEOUT_S)
        finally:
            engine.end()
        if run.status != "COMPLETED":
            raise SurveyFailed(f"{run.status} {run.error_message or run.paused_reason}\n{log.read_text('utf-8')}")
        places = [Boundary.parse(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [place for place in dict.fromkeys(places) if not CHANCE.search(place.what)]
