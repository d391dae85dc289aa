"""Several clusters, and a slurm-config.ini that an admin edits while everything goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from worker.analyses import catalogue
from worker.engine.accept import accept
from worker.engine.assembly import open_transports
from worker.engine.request import parse_request
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from tests.lab.description import Lab
    from worker.engine.assembly import Record

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"
ELSEWHERE = """
[SSH:second]
host = {host}

[SLURM:second]
slurm_data_path = {data_path}-of-second

[MODELS]
elsewhere = nuclei
elsewhere_repo = file://{repo}/tree/{version}
elsewhere_cluster = second
elsewhere_job_mem = 1GB
elsewhere_job_time = 00:05:00
elsewhere_job_cpus-per-task = 1
"""


def eventually(done: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def offers(path: Path, workflow: str) -> bool:
    """Whether the dialogs offer a version of a workflow."""
    entry = catalogue.load(path).entry(workflow)
    return entry is not None and bool(entry.versions)


def start(lab: Lab, record: Record, workflow: str) -> UUID:
    with logged_in(lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:96, :96], "corner.tif")
        person = who(gateway)
    request = {
        "data_type": "Image",
        "ids": [image_id],
        "workflows": [{"name": workflow, "version": lab.nuclei_version}],
        "output": {"attach_to_images": True, "zip_to_parent": False},
        "cleanup": False,
        "user_id": person.user_id,
        "user_name": person.user_name,
        "group_id": person.group_id,
        "group_name": person.group_name,
    }
    return accept(record.tracker, parse_request(request), record.settings)


def stands(record: Record, run_id: UUID) -> bool:
    """Whether a run is paused, or has ended."""
    run = record.tracker.run(run_id)
    return run.ended or run.paused_reason is not None


def test_a_cluster_that_is_added_while_the_engine_runs_is_used_and_one_that_is_removed_pauses_its_runs(
    lab: Lab, tmp_path: Path, database_url: str
) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    config = tmp_path / "slurm-config.ini"
    before = config.read_text(encoding="utf-8")
    after = before + ELSEWHERE.format(
        host="labviajump", data_path=lab.data_path, repo=lab.nuclei_repo, version=lab.nuclei_version
    )
    catalogue_path = catalogue.catalogue_path(tmp_path / "state")
    with deployment.record() as record, deployment.engine():
        config.write_text(after, encoding="utf-8")
        eventually(lambda: offers(catalogue_path, "elsewhere"), "the catalogue did not follow slurm-config.ini")
        run_id = start(lab, record, "elsewhere")
        eventually(lambda: record.tracker.run(run_id).ended, "the run did not end", 90)
        run = record.tracker.run(run_id)
        assert run.status == "COMPLETED", run.error_message
        assert run.request is not None
        assert (run.request["cluster"], run.request["data_path"]) == ("second", f"{lab.data_path}-of-second")
        with open_transports(record.settings) as transport_of:
            assert (
                transport_of("second").run(["ls", f"{lab.data_path}-of-second/biomero_{run_id}/data/out"]).text.strip()
            )

        # A run whose cluster is taken away is not failed: it waits for the admin.
        second = start(lab, record, "elsewhere")
        config.write_text(before, encoding="utf-8")
        eventually(lambda: stands(record, second), "the run does not pause")
        run = record.tracker.run(second)
        assert not run.ended, run.error_message
        assert "second" in str(run.paused_reason)
        # The engine believes a file once nobody has written to it for a moment, and the catalogue tells when it did.
        eventually(lambda: not offers(catalogue_path, "elsewhere"), "the catalogue did not follow slurm-config.ini")
        config.write_text(after, encoding="utf-8")
        eventually(lambda: offers(catalogue_path, "elsewhere"), "the cluster is not back")
        record.tracker.resume_run(second)
        eventually(lambda: record.tracker.run(second).ended, "the run did not go on", 90)
        assert record.tracker.run(second).status == "COMPLETED", record.tracker.run(second).error_message
