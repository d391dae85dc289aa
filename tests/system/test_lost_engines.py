"""Results that kill the engine again and again: their run is paused, others get on, and nothing is there twice."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.person import logged_in
from tests.soak.stage import Stage, staged
from tests.system.poisoned import engine
from worker.engine import interventions, losses
from worker.engine.view import produced, view_of

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.lab.description import Lab
    from worker.engine.assembly import Record

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(240),
    # omero-py, when it waits for the deletion at the end.
    pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning"),
]

LEASE_S = 1.0
DEADLINE_S = 200.0


def images_in(stage: Stage, number: int) -> set[int]:
    """Ids of the images that the n-th run's person has in the dataset for results."""
    person = stage.people[number]
    with logged_in(stage.lab, person.name) as gateway:
        # One with several annotations is listed several times.
        return {image.getId() for image in gateway.getObject("Dataset", person.dataset_id).listChildren()}


def events(record: Record, run_id: UUID, name: str) -> list[dict[str, object]]:
    return [event.data for event in record.reader.events(run_id) if event.name == name]


def test_results_that_kill_the_engine_are_paused_while_others_come_home(lab: Lab, tmp_path: Path) -> None:
    with staged(lab) as stage, stage.deployment.record() as record:
        stage.deployment.configure("WORKER", lease_s=str(LEASE_S))
        poison, other = stage.accept(record, 0), stage.accept(record, 1)
        log, environ = tmp_path / "engine.log", {"PATH": "/usr/bin:/bin", **stage.deployment.environ}
        deaths = []
        deadline = time.monotonic() + DEADLINE_S
        while record.tracker.run(poison).paused_reason is None:
            assert time.monotonic() < deadline, log.read_text()
            with engine(environ, log, poison) as process:
                while process.is_alive() and record.tracker.run(poison).paused_reason is None:
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                if not process.is_alive():
                    deaths.append(process.exitcode)

        assert deaths == [-signal.SIGKILL] * losses.MOST
        reason = record.tracker.run(poison).paused_reason
        assert reason is not None
        assert f"lost {losses.MOST} times in a row in the midst of step 'import/0'" in reason
        # The other one came home in between. Once it is as suspect as the first, it is not in flight with it any more.
        assert record.tracker.run(other).status == "COMPLETED"
        counted = [loss["losses"] for loss in events(record, other, "HolderLost")]
        assert set(counted) <= set(range(1, losses.SUSPECT + 1))
        assert record.tracker.projection.check() == []

        # What killed it is mended, and an admin resumes the run.
        interventions.resume(record.tracker, poison)
        with engine(environ, log, None):
            while not record.tracker.run(poison).ended:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        run = record.tracker.run(poison)
        assert run.status == "COMPLETED", run.error_message
        assert run.steps["import/0"].attempts == 0
        for number, run_id in enumerate((poison, other)):
            objects = produced(view_of(record.tracker.run(run_id)))
            made = {item["object_id"] for item in objects if item["kind"] == "Image"}
            assert len(made) == 1
            assert images_in(stage, number) == made
