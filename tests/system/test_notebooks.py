"""A notebook on the worker's own machine, with the lab's cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from biomero import SlurmClient

if TYPE_CHECKING:
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]


def test_a_notebook_asks_the_cluster(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.other["worker_environment"].items():
        monkeypatch.setenv(str(name), str(value))
    with SlurmClient.from_config() as client:
        assert client.validate() is True
        versions, data_files = client.get_image_versions_and_data_files("nuclei")
        assert (versions[0], data_files) == (lab.nuclei_version, [])
        echoed = client.run_commands([["echo", "$(id) 'é"], ["squeue", "--me", "--noheader"]])
        assert echoed.ok
        assert echoed.stdout.startswith("$(id) 'é\n")
        states, result = client.check_job_status([999_999_999])
        assert states == {999_999_999: "UNKNOWN"}
        assert result.ok
