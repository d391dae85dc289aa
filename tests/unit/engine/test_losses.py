"""Steps in whose midst process after process is lost: by the real driver, on a real record of either kind.

A process that is killed leaves a lease behind that it has not given back, which says at which step it was; so does the
one that `killed_at` leaves.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from tests.clusters import OneCluster, settings_with
from worker.cluster.local import LocalTransport
from worker.engine import interventions, losses, staging, steps
from worker.engine.accept import accept
from worker.engine.context import Done, NotYet, Pause, Resources
from worker.engine.driver import ALONE, Later, drive
from worker.engine.lease import Leases
from worker.engine.request import parse_request
from worker.engine.view import Progress, StepView
from worker.engine.watcher import Watcher
from worker.errors import ConnectionLost, HistoryUnavailable
from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from worker.engine.context import Outcome, StepContext
    from worker.history.domain import StepState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE_S = 30.0
SHORT_S = 0.1
"""How long the lease of a process lasts that is lost."""


BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A SQLite database; of both kinds in turn where a test asks for that."""
    kind = getattr(request, "param", "sqlite")
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    with Database(url, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield database


@pytest.fixture
def resources(database: Database, tmp_path: Path) -> Resources:
    """What the process works with that takes over from those that were lost."""
    transport, settings = LocalTransport(), settings_with("nuclei")
    return Resources(
        configuration=lambda: settings,
        state_dir=tmp_path,
        tracker=WorkflowTracker(database),
        leases=Leases(database, "heir", duration_s=LEASE_S),
        clusters=OneCluster(settings, transport, Watcher(transport)),
        omero=cast("Any", None),
    )


@pytest.fixture
def run_id(resources: Resources) -> UUID:
    """A run that has nothing but its results to be brought in."""
    request = parse_request(
        {
            "data_type": "Image",
            "ids": [7],
            "workflows": [{"name": "nuclei", "version": "v1"}],
            "output": {"attach_to_images": True},
            "user_id": 2,
            "user_name": "ada",
            "group_id": 3,
            "group_name": "lab",
        }
    )
    accepted = accept(resources.tracker, request, resources.settings)
    resources.tracker.start_workflow(accepted)
    done: dict[str, dict[str, Any]] = {"export": {"sources": []}, "submit/0": {"job_id": 5}, "watch/0": {"ok": True}}
    for step, data in {**done, "fetch/0": {"files": []}}.items():
        resources.tracker.complete_step(accepted, step, data)
    resources.tracker.intend_step(accepted, "import/0", "key")
    return accepted


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome | Exception], list[str]]:
    """Let the import come out in some way; gives a list of the imports that were made."""
    made: list[str] = []

    def let(wanted: Outcome | Exception) -> list[str]:
        def take(context: StepContext) -> Outcome:
            made.append(context.step)
            if isinstance(wanted, Exception):
                raise wanted
            return wanted

        monkeypatch.setitem(cast("dict[str, Any]", steps.STEPS), "import", take)
        return made

    return let


def killed_at(database: Database, run_id: UUID, step: str = "import/0") -> None:
    """Take a run as a process does that is killed then, and wait until that can be noticed."""
    assert Leases(database, f"lost {uuid4()}", duration_s=SHORT_S).take(run_id, step) is not None
    time.sleep(2 * SHORT_S)


def state(resources: Resources, run_id: UUID, step: str = "import/0") -> StepState:
    return resources.tracker.run(run_id).steps[step]


def lost_before(resources: Resources, run_id: UUID, times: int, step: str = "import/0") -> None:
    """Record what is left of so many losses in a row, once their delays are over."""
    for number in range(1, times + 1):
        resources.tracker.lose_holder(run_id, step, losses=number, headway=0, message="lost", retry_at=NOW)


def notice(resources: Resources, run_id: UUID) -> None:
    """Let a process be lost, and the next one notice that."""
    killed_at(resources.tracker.database, run_id)
    drive(resources, run_id, go_on=lambda: False)


def names(resources: Resources, run_id: UUID) -> list[str]:
    return [event.name for event in RunReader(resources.tracker.database).events(run_id)]


@BOTH
def test_one_loss_is_nobodys_fault(resources: Resources, run_id: UUID, outcome: Callable[[Outcome], list[str]]) -> None:
    made = outcome(NotYet())
    killed_at(resources.tracker.database, run_id)
    drive(resources, run_id, lane="import")
    assert made == ["import/0"]  # at once, and in its own lane
    assert state(resources, run_id).attempts == 0


def test_what_was_lost_twice_in_a_row_waits_for_as_long_as_a_lease_lasts(
    resources: Resources, run_id: UUID, outcome: Callable[[Outcome], list[str]]
) -> None:
    made = outcome(Done())
    notice(resources, run_id)
    killed_at(resources.tracker.database, run_id)
    begun = datetime.now(UTC)
    later = drive(resources, run_id, lane="import")
    assert later.at is not None
    assert later.at - begun >= timedelta(seconds=LEASE_S)
    assert (state(resources, run_id).losses, made) == (2, [])


def test_what_was_lost_twice_in_a_row_is_taken_alone_then(
    resources: Resources, run_id: UUID, outcome: Callable[[Outcome], list[str]]
) -> None:
    made = outcome(Done())
    lost_before(resources, run_id, 2)
    assert drive(resources, run_id, lane="import") == Later(lane=ALONE, user=2)
    assert made == []
    drive(resources, run_id, lane=ALONE)
    assert made == ["import/0"]
    assert (state(resources, run_id).state, state(resources, run_id).losses) == ("done", 0)


@BOTH
def test_what_is_lost_again_and_again_is_paused_and_says_what_to_do(
    resources: Resources, run_id: UUID, outcome: Callable[[Outcome], list[str]]
) -> None:
    made = outcome(Done())
    lost_before(resources, run_id, losses.MOST - 1)
    assert resources.tracker.run(run_id).paused_reason is None
    killed_at(resources.tracker.database, run_id)
    assert drive(resources, run_id) == Later()
    reason = resources.tracker.run(run_id).paused_reason
    assert reason is not None
    assert "lost 5 times in a row in the midst of step 'import/0'" in reason
    assert "memory" in reason
    assert reason.endswith("then resume the run.")
    assert made == []
    # No attempt was spent, and nothing counts any more once a person has looked at it.
    assert state(resources, run_id).attempts == 0
    interventions.resume(resources.tracker, run_id)
    assert state(resources, run_id).losses == 0
    drive(resources, run_id, lane="import")
    assert made == ["import/0"]


@pytest.mark.parametrize(
    ("ended", "wanted"),
    [
        (NotYet(), ["HolderLost", "StepIntended"]),
        (ConnectionLost("cut"), ["HolderLost", "AttemptFailed"]),
        (Pause("look"), ["HolderLost", "RunPaused"]),
    ],
)
def test_a_row_ends_when_the_step_comes_back(
    resources: Resources,
    run_id: UUID,
    outcome: Callable[[Outcome | Exception], list[str]],
    ended: Outcome | Exception,
    wanted: list[str],
) -> None:
    outcome(ended)
    lost_before(resources, run_id, 3)
    drive(resources, run_id)
    assert names(resources, run_id)[-2:] == wanted
    resources.tracker.resume_run(run_id)
    assert state(resources, run_id).losses == 0


def test_a_step_that_has_come_back_unharmed_records_nothing_more(
    resources: Resources, run_id: UUID, outcome: Callable[[Outcome], list[str]]
) -> None:
    outcome(NotYet())
    lost_before(resources, run_id, 1)
    drive(resources, run_id)
    recorded = names(resources, run_id)
    drive(resources, run_id)
    assert names(resources, run_id) == recorded


@BOTH
def test_a_process_that_was_asked_to_end_blames_no_step(resources: Resources, run_id: UUID) -> None:
    stopped = Leases(resources.tracker.database, "stopped", duration_s=SHORT_S)
    stopped.take(run_id, "import/0")
    stopped.end()
    stopped.doing(run_id, "import/0")
    time.sleep(2 * SHORT_S)
    drive(resources, run_id, go_on=lambda: False)
    assert "HolderLost" not in names(resources, run_id)


def test_a_process_whose_database_was_away_is_not_lost(database: Database) -> None:
    run_id, leases = uuid4(), Leases(database, "away", duration_s=SHORT_S)
    leases.take(run_id, "import/0")
    leases._database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(HistoryUnavailable):
        leases.give_back(run_id)
    leases._database = database
    time.sleep(2 * SHORT_S)
    lease = leases.take(run_id, "import/0")
    assert lease is not None
    assert lease.lost_in is None


@BOTH
def test_a_lease_tells_its_heir_at_which_step_its_holder_was(database: Database) -> None:
    run_id = uuid4()
    first, heir = Leases(database, "one", duration_s=SHORT_S), Leases(database, "heir", duration_s=SHORT_S)
    taken = first.take(run_id, "fetch/0")
    assert taken is not None
    assert taken.lost_in is None
    first.doing(run_id, "import/0")
    time.sleep(2 * SHORT_S)
    inherited = heir.take(run_id, "import/0")
    assert inherited is not None
    assert inherited.lost_in == "import/0"
    heir.give_back(run_id)
    again = first.take(run_id, "import/0")
    assert again is not None
    assert again.lost_in is None


def test_a_step_that_was_done_when_its_process_was_lost_is_not_to_blame(resources: Resources, run_id: UUID) -> None:
    killed_at(resources.tracker.database, run_id, "fetch/0")
    drive(resources, run_id, go_on=lambda: False)
    assert "HolderLost" not in names(resources, run_id)


def test_steps_that_take_no_time_stay_in_their_lane(resources: Resources, run_id: UUID) -> None:
    resources.tracker.request_cancel(run_id, "ada")
    resources.tracker.intend_step(run_id, "cancel", "key")
    lost_before(resources, run_id, 2, "cancel")
    assert drive(resources, run_id, lane="import").lane == "control"


@BOTH
def test_views_are_what_the_events_say(resources: Resources, run_id: UUID) -> None:
    lost_before(resources, run_id, 1)
    notice(resources, run_id)
    tracker = resources.tracker
    assert "lost 2 times" in RunReader(tracker.database).run(run_id).message
    assert tracker.projection.check() == []


class TestCounting:
    def test_delays_double_from_the_time_that_a_lease_lasts(self) -> None:
        delays = []
        step = StepView(Progress.INTENDED)
        for _ in range(losses.MOST):
            loss = losses.count("import/0", step, 0, NOW, 30.0)
            step = replace(step, losses=loss.losses)
            delays.append((loss.retry_at - NOW).total_seconds())
        assert delays == [0, 30, 60, 120, 240]
        assert losses.count("import/0", step, 0, NOW, 3000.0).retry_at == NOW + timedelta(seconds=losses.MAX_DELAY_S)

    def test_a_fetch_that_gets_on_begins_a_new_row(self, tmp_path: Path) -> None:
        run_id = uuid4()
        folder = staging.folder_of(tmp_path, run_id) / "0" / "out"
        assert losses.headway_of("fetch/0", run_id, tmp_path) == 0
        folder.mkdir(parents=True)
        (folder / "a.tif").write_bytes(bytes(70_000))
        headway = losses.headway_of("fetch/0", run_id, tmp_path)
        assert headway >= 70_000
        assert losses.headway_of("import/0", run_id, tmp_path) == 0
        lost = StepView(Progress.INTENDED, losses=losses.MOST - 1, headway=headway)
        assert losses.count("fetch/0", lost, headway, NOW, 30.0).too_many
        assert losses.count("fetch/0", lost, headway + 1, NOW, 30.0).losses == 1
