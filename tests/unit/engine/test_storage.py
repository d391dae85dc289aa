"""What runs have left: how long it is kept, who may remove it, and what is never touched."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from worker.cluster.local import LocalTransport
from worker.engine import interventions, staging
from worker.engine.accept import accept
from worker.engine.lease import Leases
from worker.engine.places import layout_of
from worker.engine.removal import why_removed
from worker.engine.request import parse_request
from worker.engine.storage import Remover, Stored, look, retain, retain_here
from worker.engine.view import view_of
from worker.errors import RequestError
from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker
from worker.settings.models import Settings, SlurmSettings, WorkerKnobs, WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.cluster.transport import Transport

ADA = {"user_id": 2, "user_name": "ada", "group_id": 3, "group_name": "lab"}
DAY = timedelta(days=1)


class World:
    """A record, a cluster that is a folder of this machine, and a state directory."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.data = folder / "home" / "data"
        self.state = folder / "state"
        self.database = database
        self.tracker = WorkflowTracker(database)
        self.reader = RunReader(database)
        self.leases = Leases(database, "this process")
        (folder / "home").mkdir()
        self.transport: Transport = LocalTransport(folder / "home")
        self.settings = Settings(
            slurm=SlurmSettings(slurm_data_path="data"),
            workflows={"nuclei": WorkflowSettings(name="nuclei", image_folder="nuclei")},
        )

    def keep(self, **days: int) -> None:
        self.settings = self.settings.model_copy(update={"worker": WorkerKnobs.model_validate(days)})

    def run(self, outcome: str = "FAILED", **what: Any) -> UUID:
        """A run with data on the cluster, and some here."""
        request = {"ids": [5], "workflows": [{"name": "nuclei", "version": "v1"}], **ADA, **what}
        run_id = accept(self.tracker, parse_request(request), self.settings)
        self.tracker.start_workflow(run_id)
        self.tracker.complete_step(run_id, "export", {})
        self.write(Path(str(layout_of(self.tracker.run(run_id), self.settings).folder)))
        here = staging.folder_of(self.state, run_id)
        here.mkdir(parents=True)
        (here / "left").write_text("x")
        if outcome == "FAILED":
            self.tracker.fail_workflow(run_id, "No.")
        elif outcome == "COMPLETED":
            self.tracker.complete_workflow(run_id)
        return run_id

    def write(self, folder: Path) -> Path:
        output = self.data / folder / "data" / "out"
        output.mkdir(parents=True)
        (output / "a.tif").write_bytes(b"x" * 100_000)
        (self.data / folder / "status").mkdir()
        return self.data / folder

    def move(self, data_path: str) -> None:
        """From now on, runs are accepted elsewhere."""
        slurm = self.settings.slurm.model_copy(update={"slurm_data_path": data_path})
        self.settings = self.settings.model_copy(update={"slurm": slurm})
        self.data = self.folder / "home" / data_path

    def look(self) -> dict[str, Stored]:
        found = look(self.tracker, self.reader, self.settings, lambda _: self.transport)
        return {each.folder.name: each for each in found}

    def retain(self, after: timedelta) -> list[str]:
        now = datetime.now(UTC) + after
        removed = retain(self.tracker, self.reader, self.leases, self.settings, lambda _: self.transport, now=now)
        return [each.folder.name for each in removed]

    def retain_here(self, after: timedelta) -> list[UUID]:
        return retain_here(self.tracker, self.leases, self.settings, self.state, now=datetime.now(UTC) + after)

    def remover(self) -> Remover:
        return Remover(self.tracker, self.leases, lambda _: self.transport, "root")

    def folders(self) -> set[str]:
        return {path.name for path in self.data.iterdir()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield World(tmp_path, database)


def test_what_is_there_is_told_with_owner_size_and_time(world: World) -> None:
    run_id = world.run()
    counting = CountingTransport(world.transport)
    world.transport = counting
    (stored,) = world.look().values()
    assert counting.commands == {"list_storage": 1}
    assert (stored.cluster, stored.user_name, stored.workflow, stored.status) == ("default", "ada", "nuclei", "FAILED")
    assert stored.run is not None
    assert stored.run.id == run_id
    assert stored.folder.files == 1
    assert 100_000 <= (stored.folder.size_bytes or 0) < 200_000
    assert stored.keeping.until == stored.since + 30 * DAY
    assert stored.keeping.why == "the run has failed, and can be retried for 30 days"


def test_a_cluster_on_which_nothing_was_stored_has_nothing(world: World) -> None:
    assert world.look() == {}


def test_what_lies_where_runs_were_accepted_before_is_told_and_removed_as_well(world: World) -> None:
    former = world.run()
    world.move("scratch/data")
    present = world.run()
    found = world.look()
    assert {each.data_path for each in found.values()} == {"data", "scratch/data"}
    assert found[f"biomero_{former}"].data_path == "data"
    assert found[f"biomero_{former}"].keeping.why == found[f"biomero_{present}"].keeping.why
    assert set(world.retain(31 * DAY)) == {f"biomero_{former}", f"biomero_{present}"}
    assert world.look() == {}
    assert world.reader.events(former)[-1].data["data"]["removed"] == f"data/biomero_{former}"


def test_a_folder_of_data_that_has_two_names_is_told_once(world: World) -> None:
    run_id = world.run()
    (world.folder / "home" / "another").symlink_to(world.data)
    world.move("another")
    found = [each.folder.name for each in look(world.tracker, world.reader, world.settings, lambda _: world.transport)]
    assert found == [f"biomero_{run_id}"]


def test_a_former_folder_of_data_that_cannot_be_read_keeps_nobody_from_the_present_one(world: World) -> None:
    world.run()
    shutil.rmtree(world.data)
    world.data.write_text("no folder any more")
    world.move("present")
    present = world.run()
    assert set(world.look()) == {f"biomero_{present}"}


def test_a_failed_run_keeps_its_data_for_its_time_and_no_longer(world: World) -> None:
    run_id = world.run()
    assert world.retain(29 * DAY) == []
    assert world.retain(31 * DAY) == [f"biomero_{run_id}"]
    assert world.folders() == set()
    assert world.retain(31 * DAY) == []


def test_how_long_is_for_the_admin_to_say(world: World) -> None:
    world.run()
    world.keep(keep_failed_days=2)
    assert world.retain(1 * DAY) == []
    assert len(world.retain(3 * DAY)) == 1


def test_a_removal_is_recorded_and_the_end_of_the_run_stays_as_it_was(world: World) -> None:
    run_id = world.run()
    world.retain(31 * DAY)
    event = world.reader.events(run_id)[-1]
    assert (event.name, event.data["step"]) == ("StepCompleted", "remove")
    assert event.data["data"]["removed"] == f"data/biomero_{run_id}"
    assert event.data["data"]["by"] == "the engine service"
    row = world.reader.run(run_id)
    assert (row.state, row.message) == ("FAILED", "No.")


def test_whoever_retries_afterwards_is_told_that_the_data_are_gone(world: World) -> None:
    run_id = world.run()
    world.retain(31 * DAY)
    with pytest.raises(RequestError, match=r"were removed at .* can be retried for 30 days.*Retry it from export"):
        interventions.retry(world.tracker, run_id, by="ada", start="submit")
    said = interventions.retry(world.tracker, run_id, by="ada")
    assert f"Run {run_id} goes on from export. Its data on the cluster were removed at" in said
    assert why_removed(view_of(world.tracker.run(run_id))) is None


def test_a_run_that_failed_again_is_kept_and_removed_again(world: World) -> None:
    run_id = world.run()
    world.retain(31 * DAY)
    interventions.retry(world.tracker, run_id, by="ada")
    world.write(Path(f"biomero_{run_id}"))
    assert world.retain(31 * DAY) == []
    world.tracker.fail_workflow(run_id, "No again.")
    assert world.retain(29 * DAY) == []
    assert world.retain(31 * DAY) == [f"biomero_{run_id}"]


def test_what_a_person_wished_to_keep_is_kept_for_ever_unless_the_admin_says_otherwise(world: World) -> None:
    world.run("COMPLETED", cleanup=False)
    assert world.retain(10_000 * DAY) == []
    world.keep(keep_results_days=90)
    assert world.retain(89 * DAY) == []
    assert len(world.retain(91 * DAY)) == 1


def test_what_was_left_over_after_a_verified_import_is_removed(world: World) -> None:
    run_id = world.run("COMPLETED")
    assert world.retain(DAY) == [f"biomero_{run_id}"]


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_has_not_ended_keeps_its_data(world: World, paused: bool) -> None:
    run_id = world.run("STARTED")
    if paused:
        world.tracker.pause_run(run_id, "The disk is full.")
    assert world.retain(10_000 * DAY) == []
    assert world.retain_here(10_000 * DAY) == []
    (stored,) = world.look().values()
    with pytest.raises(RequestError, match="works with"):
        world.remover().remove(stored, "It is in the way.")
    assert len(world.folders()) == 1


def test_the_data_of_a_failed_run_are_kept_while_another_run_imports_them(world: World) -> None:
    run_id = world.run()
    task_id = world.tracker.run(run_id).tasks[1]
    world.tracker.complete_step(run_id, "watch/0", {"ok": True, "job_id": 7, "state": "COMPLETED"})
    finished = {"run_id": str(run_id), "task_id": str(task_id), "job_id": 7}
    request = {"kind": "results", "finished": finished, "output": {"zip_to_parent": True}, **ADA}
    again = accept(world.tracker, parse_request(request), world.settings)
    assert world.retain(31 * DAY) == []
    world.tracker.start_workflow(again)
    world.tracker.fail_workflow(again, "No.")
    assert world.retain(31 * DAY) == [f"biomero_{run_id}"]


def test_a_run_that_is_being_driven_is_left_alone(world: World) -> None:
    run_id = world.run()
    assert Leases(world.database, "another process").take(run_id)
    assert world.retain(31 * DAY) == []
    assert world.retain_here(31 * DAY) == []
    assert len(world.folders()) == 1


def test_only_one_service_looks_at_a_time(world: World) -> None:
    world.run()
    second = Leases(world.database, "another process")

    class Meanwhile(CountingTransport):
        def stream(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
            seen.append(retain(world.tracker, world.reader, second, world.settings, lambda _: world.transport))
            return super().stream(argv, stdin=stdin, timeout_s=timeout_s)

    seen: list[list[Stored]] = []
    world.transport = Meanwhile(world.transport)
    assert len(world.retain(31 * DAY)) == 1
    assert seen == [[]]


def test_a_run_that_is_retried_at_the_last_moment_keeps_its_data(world: World) -> None:
    run_id = world.run()
    (stored,) = world.look().values()
    interventions.retry(world.tracker, run_id, by="ada")
    with pytest.raises(Exception, match="goes on, and needs its data"):
        world.remover().remove(stored, "Its time is over.")
    assert len(world.folders()) == 1


def test_a_removal_that_was_cut_off_is_finished_and_never_taken_for_none(world: World) -> None:
    run_id = world.run()
    faulty = FaultyTransport(world.transport)
    faulty.lose_request("remove_run")
    world.transport = faulty
    assert world.retain(31 * DAY) == []
    assert why_removed(view_of(world.tracker.run(run_id))) == "Its data on the cluster are being removed."
    assert world.retain(31 * DAY) == [f"biomero_{run_id}"]


def test_folders_of_nobody_are_told_and_never_removed_by_themselves(world: World) -> None:
    stranger = uuid4()
    for name in (f"biomero_{stranger}", "mine", "with space", "-rf", "new\nline"):
        world.write(Path(name))
    (world.data / "link").symlink_to(world.folder)
    (world.data / "file").touch()
    found = world.look()
    assert set(found) == {f"biomero_{stranger}", "mine", "with space", "-rf", "new\nline"}
    assert {each.keeping.why for each in found.values()} == {"belongs to no run known here"}
    assert world.retain(10_000 * DAY) == []
    assert len(world.folders()) == 7


def test_an_admin_may_remove_a_run_of_another_deployment_but_nothing_that_is_no_runs(world: World) -> None:
    stranger = uuid4()
    world.write(Path(f"biomero_{stranger}"))
    world.write(Path("mine"))
    found = world.look()
    world.remover().remove(found[f"biomero_{stranger}"], "")
    with pytest.raises(RequestError, match="not the folder of a run"):
        world.remover().remove(found["mine"], "")
    assert world.folders() == {"mine"}


def test_a_folder_that_says_it_is_anothers_does_not_become_the_runs(world: World) -> None:
    run_id = world.run(kind="transfer", folder="images", workflows=[])
    owner = world.data / "images" / "status" / "owner"
    owner.write_text(f"{run_id}\n")
    assert world.look()["images"].run is not None
    owner.write_text(f"{uuid4()}\n")
    assert world.look()["images"].run is None


def test_later_work_in_a_folder_counts(world: World) -> None:
    run_id = world.run(kind="transfer", folder="images", workflows=[])
    (world.data / "images" / "status" / "owner").write_text(f"{run_id}\n")
    stored = world.look()["images"]
    assert stored.since >= world.tracker.run(run_id).modified_on
    assert stored.since == max(stored.folder.changed, world.tracker.run(run_id).modified_on)


def test_a_transfer_that_went_well_is_for_later_use(world: World) -> None:
    run_id = world.run("COMPLETED", kind="transfer", folder="images", workflows=[])
    (world.data / "images" / "status" / "owner").write_text(f"{run_id}\n")
    assert world.look()["images"].keeping.why == "a transfer, for later use"
    assert world.retain(10_000 * DAY) == []


def test_a_cluster_that_does_not_answer_keeps_no_other_waiting(world: World) -> None:
    run_id = world.run()
    faulty = FaultyTransport(world.transport)
    faulty.lose_request("list_storage")
    world.transport = faulty
    assert world.retain(31 * DAY) == []
    assert world.retain(31 * DAY) == [f"biomero_{run_id}"]


def test_staging_of_completed_runs_is_removed_and_that_of_failed_ones_with_their_data(world: World) -> None:
    failed, completed, kept = world.run(), world.run("COMPLETED"), world.run("COMPLETED", cleanup=False)
    assert set(world.retain_here(timedelta(seconds=1))) == {completed, kept}
    world.retain(31 * DAY)
    assert world.retain_here(timedelta(seconds=1)) == [failed]
    assert staging.runs_in(world.state) == []


def test_staging_of_another_record_is_left_alone(world: World) -> None:
    stranger = staging.folder_of(world.state, uuid4())
    stranger.mkdir(parents=True)
    (world.state / "runs" / "no run").mkdir()
    assert world.retain_here(10_000 * DAY) == []
    assert stranger.exists()
