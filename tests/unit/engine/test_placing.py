"""Where a run is going to be, and what is refused at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from worker.engine.accept import accept
from worker.engine.places import cluster_of, layout_of
from worker.engine.request import folder_run, parse_request
from worker.errors import RequestError
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker
from worker.settings.models import ClusterSettings, Settings, SlurmSettings, SshSettings, WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

ADA = {"user_id": 2, "user_name": "ada", "group_id": 3, "group_name": "lab"}
GRACE = {"user_id": 4, "user_name": "grace", "group_id": 3, "group_name": "lab"}
NUCLEI = {"name": "nuclei", "version": "v1"}
SETTINGS = Settings(
    slurm=SlurmSettings(slurm_data_path="scratch/data"),
    further_clusters={"gpu": ClusterSettings("gpu", SshSettings(host="gpu"), SlurmSettings(slurm_data_path="fast"))},
    workflows={
        "nuclei": WorkflowSettings(name="nuclei", image_folder="nuclei"),
        "cellpose": WorkflowSettings(
            name="cellpose",
            image_folder="cellpose",
            cluster="gpu",
            user_time_max_s=3600,
            user_memory_max_mib=4096,
            user_partitions=("short", "long"),
        ),
    },
)


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[WorkflowTracker]:
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield WorkflowTracker(database)


def ask(tracker: WorkflowTracker, person: dict[str, Any] = ADA, **what: Any) -> UUID:
    return accept(tracker, parse_request({**person, **what}), SETTINGS)


def transfer(tracker: WorkflowTracker, folder: str, person: dict[str, Any] = ADA, *, ended: bool = True) -> UUID:
    run_id = ask(tracker, person, kind="transfer", ids=[5], folder=folder)
    if ended:
        tracker.start_workflow(run_id)
        tracker.complete_workflow(run_id)
    return run_id


def convert(tracker: WorkflowTracker, folder: str, person: dict[str, Any] = ADA) -> UUID:
    return ask(tracker, person, kind="conversion", folder=folder, conversion={"source": "zarr", "target": "tiff"})


def test_a_run_is_where_its_workflow_is_and_stays_there(tracker: WorkflowTracker) -> None:
    run = tracker.run(ask(tracker, ids=[5], workflows=[{"name": "cellpose", "version": "v1"}]))
    assert cluster_of(run) == "gpu"
    moved = SETTINGS.model_copy(update={"further_clusters": {}})
    assert str(layout_of(run, moved).root) == f"fast/biomero_{run.id}"


def test_a_run_from_before_its_place_was_recorded_is_where_the_settings_say(tracker: WorkflowTracker) -> None:
    run = tracker.run(ask(tracker, ids=[5], workflows=[NUCLEI]))
    assert run.request is not None
    for name in ("cluster", "data_path", "folder"):
        del run.request[name]
    assert str(layout_of(run, SETTINGS).root) == f"scratch/data/biomero_{run.id}"


def test_workflows_of_different_clusters_cannot_share_a_run(tracker: WorkflowTracker) -> None:
    with pytest.raises(RequestError, match="nuclei on default, cellpose on gpu"):
        ask(tracker, ids=[5], workflows=[NUCLEI, {"name": "cellpose", "version": "v1"}])


@pytest.mark.parametrize(
    ("limits", "problem", "remedy"),
    [
        ({"time_s": 3601}, "01:00:01 is too much time for cellpose", "at most 01:00:00"),
        ({"memory_mib": 4097}, "too much memory for cellpose", "at most 4G"),
        ({"partition": "debug"}, "cannot run in partition 'debug'", "short, long"),
    ],
)
def test_nobody_gets_more_than_the_admin_allows(
    tracker: WorkflowTracker, limits: dict[str, Any], problem: str, remedy: str
) -> None:
    with pytest.raises(RequestError, match=problem) as caught:
        ask(tracker, ids=[5], workflows=[{"name": "cellpose", "version": "v1", "limits": limits}])
    assert remedy in str(caught.value.remedy)


@pytest.mark.parametrize("limits", [{"time_s": 3600}, {"memory_mib": 4096}, {"partition": "long"}])
def test_what_the_admin_allows_can_be_chosen(tracker: WorkflowTracker, limits: dict[str, Any]) -> None:
    ask(tracker, ids=[5], workflows=[{"name": "cellpose", "version": "v1", "limits": limits}])


@pytest.mark.parametrize("limits", [{"time_s": 60}, {"memory_mib": 1}, {"partition": "long"}])
def test_nothing_can_be_chosen_where_the_admin_says_nothing(tracker: WorkflowTracker, limits: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="nuclei"):
        ask(tracker, ids=[5], workflows=[{**NUCLEI, "limits": limits}])


def test_a_named_folder_belongs_to_the_run_that_made_it(tracker: WorkflowTracker) -> None:
    run = tracker.run(transfer(tracker, "my_cells"))
    assert run.id == folder_run("default", "my_cells")
    assert str(layout_of(run, SETTINGS).root) == "scratch/data/my_cells"


def test_a_folder_is_made_once(tracker: WorkflowTracker) -> None:
    transfer(tracker, "my_cells")
    for person in (ADA, GRACE):
        with pytest.raises(RequestError, match="There is a folder 'my_cells' already"):
            transfer(tracker, "my_cells", person)


def test_of_two_who_name_a_folder_in_the_same_moment_one_gets_it(
    tracker: WorkflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.placing._refuse_second", lambda *_: None)  # both have looked before
    first = transfer(tracker, "my_cells", ended=False)
    # Pressing twice is no harm.
    assert transfer(tracker, "my_cells", ended=False) == first
    with pytest.raises(RequestError, match="There is a folder 'my_cells' already"):
        transfer(tracker, "my_cells", GRACE)
    assert tracker.run(first).user == ADA["user_id"]


def test_a_conversion_works_in_the_folder_of_an_earlier_run(tracker: WorkflowTracker) -> None:
    transfer(tracker, "my_cells")
    run = tracker.run(convert(tracker, "my_cells"))
    assert str(layout_of(run, SETTINGS).root) == "scratch/data/my_cells"
    analysis = ask(tracker, ids=[5], workflows=[NUCLEI])
    tracker.fail_workflow(analysis, "No.")
    again = tracker.run(convert(tracker, f"biomero_{analysis}"))
    assert layout_of(again, SETTINGS).root == layout_of(tracker.run(analysis), SETTINGS).root
    # Two runs in one folder do not turn each other away.
    assert layout_of(again, SETTINGS).fence != layout_of(tracker.run(analysis), SETTINGS).fence


@pytest.mark.parametrize("folder", ["nobodys", "my_cells", "biomero_00000000-0000-0000-0000-000000000000"])
def test_other_peoples_folders_are_as_good_as_none(tracker: WorkflowTracker, folder: str) -> None:
    transfer(tracker, "my_cells")
    with pytest.raises(RequestError, match=f"You have no folder '{folder}'"):
        convert(tracker, folder, GRACE)


def test_a_folder_that_is_being_filled_is_left_alone(tracker: WorkflowTracker) -> None:
    transfer(tracker, "my_cells", ended=False)
    with pytest.raises(RequestError, match="still being worked on"):
        convert(tracker, "my_cells")


@pytest.mark.parametrize("folder", ["..", "a/b", "", "-rf", "a b", ".hidden", "x" * 200])
def test_a_folder_that_could_lead_elsewhere_is_refused(tracker: WorkflowTracker, folder: str) -> None:
    with pytest.raises(RequestError, match="folder"):
        ask(tracker, kind="transfer", ids=[5], folder=folder)
