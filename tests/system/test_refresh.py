"""What an admin adds to slurm-config.ini is offered at once, whatever does not answer meanwhile."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.system.deployment import Deployment
from tests.unit.analyses.web_server import WebServer, make_certificate
from worker.dialogs.parameters import read_catalogue, workflow_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def test_a_repository_that_hangs_keeps_no_other_workflow_from_the_dialog_nor_the_engine_from_ending(
    lab: Lab, tmp_path: Path, database_url: str
) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    certificate = make_certificate(tmp_path)
    deployment.environ["REQUESTS_CA_BUNDLE"] = str(certificate)
    with WebServer(certificate) as server, deployment.engine() as engine:
        server.hang("/hanging.json")
        deployment.configure(
            "WORKFLOWS",
            hanging="nuclei",
            hanging_repo=server.url("/hanging.json"),
            added="nuclei",
            added_repo=f"file://{lab.nuclei_repo}/tree/{lab.nuclei_version}",
        )
        offered = until_offered(deployment, "added_|_label_suffix", "hanging_Version")
        # The server still holds the request, and its workflow has the versions that are on the cluster all the same.
        assert server.asked.wait(30)
        assert not server.released.is_set()
        assert offered["added_Version"] == offered["hanging_Version"] == offered["nuclei_Version"]
        assert lab.nuclei_version in offered["added_Version"]
        # An admin who sees that mends something else meanwhile.
        deployment.configure(
            "WORKFLOWS", later="nuclei", later_repo=f"file://{lab.nuclei_repo}/tree/{lab.nuclei_version}"
        )
        until_offered(deployment, "later_|_label_suffix", "hanging_Version")
        assert not server.released.is_set()
        shown = json.loads(deployment.command("analyses", "show", "hanging", "--json").stdout)
        assert (shown["source"], shown["problem"]) == ("", "Its descriptor has not been read yet.")
        engine.terminate()
        assert engine.wait(timeout=20) == 0
        assert not server.released.is_set()


def until_offered(deployment: Deployment, *names: str) -> dict[str, list[str]]:
    """Open the dialog until it has some fields; return all of its fields with the values that they offer."""
    deadline = time.monotonic() + 30
    while True:
        fields = workflow_parameters(read_catalogue(deployment.environ))
        offered = {field.name(): [value.val for value in field.values.val] if field.values else [] for field in fields}
        if all(name in offered for name in names) and offered["hanging_Version"]:
            return offered
        assert time.monotonic() < deadline, sorted(offered)
        time.sleep(0.1)
