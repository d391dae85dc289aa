"""`SlurmClient`, as notebooks and the web plugin use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING, Any

import pytest
from biomero import NoOpWorkflowTracker, SlurmClient, WorkflowRun, WorkflowTracker
from biomero import slurm_client as slurm_client_module
from eventsourcing.utils import resolve_topic
from omero.rtypes import RBoolI, RFloatI, RIntI, RStringI
from structlog.testing import capture_logs

import worker.facade.client
import worker.history.domain
import worker.history.tracker
from worker.errors import DescriptorError, RequestError, SettingsError
from worker.facade.absent import INSTEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

ALIASES = Path(__file__).parents[3] / "worker" / "aliases"


@pytest.fixture
def client(deployment: Path) -> Iterator[SlurmClient]:
    with SlurmClient.from_config() as made:
        yield made


def test_all_names_mean_the_same() -> None:
    assert SlurmClient is slurm_client_module.SlurmClient is worker.facade.client.SlurmClient
    assert WorkflowTracker is worker.history.tracker.WorkflowTracker


def test_the_topics_of_events_mean_what_they_always_did(client: SlurmClient) -> None:
    assert WorkflowRun is worker.history.domain.WorkflowRun
    topic = client.workflowTracker.notification_log.select(1, 1)[0].topic
    assert resolve_topic(topic) is WorkflowRun.WorkflowInitiated


def test_a_history_opens_whether_or_not_the_names_are_installed(deployment: Path) -> None:
    code = (
        "from worker.facade.client import SlurmClient; print(SlurmClient().workflowTracker.repository.get('{}').name)"
    )
    for path in ([], [str(ALIASES)]):
        found = subprocess.run(
            [sys.executable, "-c", code.format("747fc951-15ca-4b56-a19e-418e1db97d14")],
            env={
                "PYTHONPATH": ":".join([str(ALIASES.parents[1]), *path]),
                "OMERO_WORKER_STATE_DIR": str(deployment / "state"),
                "OMERO_WORKER_CONFIG_FILE": str(deployment / "slurm-config.ini"),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout == "Slurm Workflow\n"


def test_the_paths_are_those_that_the_plugin_edits() -> None:
    paths = (SlurmClient._DEFAULT_CONFIG_PATH_1, SlurmClient._DEFAULT_CONFIG_PATH_2, SlurmClient._DEFAULT_CONFIG_PATH_3)
    assert paths == ("/etc/slurm-config.ini", "/OMERO/slurm-config.ini", "~/slurm-config.ini")


def test_settings_and_descriptors_need_neither_cluster_nor_database(
    deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (deployment / "slurm-config.ini").write_text(
        (deployment / "slurm-config.ini").read_text().replace("local:", "nowhere.invalid")
    )
    monkeypatch.setenv("SQLALCHEMY_URL", "postgresql+psycopg2://u:p@127.0.0.1:1/none")
    with SlurmClient.from_config(config_only=True) as client:
        assert list(client.slurm_model_images) == ["cellpose", "stardist"]
        assert client.slurm_model_images["cellpose"] == "torchcell/w_cellpose"
        assert client.slurm_model_repos["stardist"] == "https://github.com/Neubias-WG5/W_NucleiSegmentation-Stardist"
        assert client.slurm_data_path == "my-scratch/data"
        assert client.pull_descriptor_from_github("cellpose")["container-image"]["image"] == "torchcell/w_cellpose"


def test_a_configuration_of_ones_own_wins(deployment: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.ini"
    own.write_text("[SLURM]\nslurm_data_path = /scratch/mine\n")
    assert SlurmClient.from_config(str(own)).slurm_data_path == "/scratch/mine"
    with pytest.raises(SettingsError):
        SlurmClient(str(tmp_path / "none.ini"))


def test_a_cluster_that_cannot_be_reached_is_not_valid_and_the_log_says_why(deployment: Path) -> None:
    own = deployment / "own.ini"
    own.write_text("[SSH]\nhost = nowhere.invalid\nconnect_timeout = 1\n")
    with capture_logs() as logs, SlurmClient.from_config(str(own)) as client:
        assert client.validate() is False
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["cluster_not_valid"]


def test_what_has_happened_can_be_printed(client: SlurmClient) -> None:
    notifications = client.workflowTracker.notification_log.select(1, 10)
    assert len(notifications) > 3
    assert "'topic': 'biomero.eventsourcing:WorkflowRun.WorkflowInitiated'" in pformat(notifications[0].__dict__)


def test_a_client_that_was_closed_opens_its_connections_again(client: SlurmClient) -> None:
    assert client.list_all_jobs() == ["71"]
    assert client.validate()
    client.close()
    assert client.list_active_jobs() == ["71"]
    assert client.list_completed_jobs() == []
    assert client.jobAccounting.get_task_id(71) is not None
    assert client.wfProgress.recorder.max_tracking_id("WorkflowTracker") > 0


def test_what_is_switched_off_does_nothing(deployment: Path) -> None:
    with SlurmClient(track_workflows=False) as client:
        assert isinstance(client.workflowTracker, NoOpWorkflowTracker)
        assert isinstance(client.jobAccounting, NoOpWorkflowTracker)
        assert client.workflowTracker.start_workflow("x") is None
        client.initialize_analytics_system(reset_tables=True)
    with SlurmClient(enable_job_accounting=False, enable_job_progress=False) as client:
        assert not client.jobAccounting
        assert not client.jobProgress
        assert not client.wfProgress
        assert client.workflowAnalytics.get_task_counts() == {("cellpose", "v1.2.7"): 1}
        client.bring_listener_uptodate(client.workflowAnalytics)


def test_what_is_not_offered_says_what_to_use_instead(client: SlurmClient) -> None:
    for name in INSTEAD:
        assert not hasattr(client, name)
        with pytest.raises(AttributeError, match=f"SlurmClient.{name} is not offered: .{{20}}"):
            getattr(client, name)


def test_a_slip_of_the_pen_is_told_the_nearest_name(client: SlurmClient) -> None:
    with pytest.raises(AttributeError, match=r"Did you mean validate\?"):
        client.validat  # noqa: B018 - the access is what is tried


@pytest.mark.parametrize("given", ["echo hello", ["echo hello"], [["true"], "echo hello"]])
def test_no_shell_is_given_text(client: SlurmClient, given: Any) -> None:
    with pytest.raises(TypeError, match="argument lists"):
        client.run_commands(given)


def test_programs_run_until_one_fails(client: SlurmClient, deployment: Path) -> None:
    done = client.run_commands(
        [["printenv", "X"], ["sh", "-c", "echo no >&2; exit 3"], ["touch", "5"]], env={"X": "a b;c"}
    )
    assert (done.ok, done.exited, done.stdout, done.stderr) == (False, 3, "a b;c\n", "no")
    assert not done
    assert not (deployment / "5").exists()


def test_numbers_of_descriptors_stay_what_they_are(client: SlurmClient) -> None:
    oldest, generic = client.pull_descriptor_from_github("cellpose"), client.generic_descriptor_from_github("cellpose")
    assert [one["type"] for one in oldest["inputs"]] == ["Number", "Number"]
    assert [one["type"] for one in generic["inputs"]] == ["integer", "float"]
    assert [type(one["default-value"]) for one in oldest["inputs"]] == [int, float]


def test_an_unknown_workflow_or_repository_is_refused(client: SlurmClient, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"Did you mean cellpose\?"):
        client.pull_descriptor_from_github("celpose")
    with pytest.raises(DescriptorError):
        client.generic_descriptor_from_github(f"file://{tmp_path}/none")


@pytest.mark.parametrize(
    ("kind", "default", "prototype"),
    [
        ("integer", 1, RIntI),
        ("float", 1.0, RFloatI),
        ("Number", 1, RIntI),
        ("Number", 1.0, RFloatI),
        ("Boolean", True, RBoolI),
        ("string", "a", RStringI),
    ],
)
def test_a_parameter_becomes_a_field_of_a_script(kind: str, default: object, prototype: type) -> None:
    field = SlurmClient.convert_param_type_to_omtype(kind, default, "wf_|_p", description="d", default=default)
    assert (type(field.prototype), field.name(), field.description) == (prototype, "wf_|_p", "d")


def test_there_are_no_other_types() -> None:
    with pytest.raises(ValueError, match="no type 'array'"):
        SlurmClient.convert_param_type_to_omtype("array", None, "p")


def test_addresses_and_images_are_taken_apart() -> None:
    parts, ref = SlurmClient.extract_parts_from_url("https://github.com/org/repo/tree/v1.0/")
    assert (parts[3], parts[4], ref) == ("org", "repo", "v1.0")
    assert SlurmClient.extract_parts_from_url("https://github.com/org/repo")[1] == "master"
    for wrong in ("https://gitlab.com/org/repo", "https://github.com/org", "org/repo"):
        with pytest.raises(ValueError, match="not the address of a GitHub repository"):
            SlurmClient.extract_parts_from_url(wrong)
    assert SlurmClient.parse_docker_image_version("ghcr.io:5000/org/name:v1") == ("v1", "ghcr.io:5000/org/name")
    assert SlurmClient.parse_docker_image_version("org/name") == (None, "org/name")
