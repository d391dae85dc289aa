"""What a person chooses for a job beyond its parameters reaches Slurm, and files that are not there start nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript, Ended
from worker.analyses import catalogue as catalogues
from worker.analyses.model import Parameter

if TYPE_CHECKING:
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


def run(deployment: Deployment, name: str, **choices: object) -> Ended:
    """Fill in the dialog, press Run and wait."""
    lab = deployment.lab
    with logged_in(lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:64, :64], "corner.tif")
    directory = deployment.directory / name
    directory.mkdir()
    inputs = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "found in runs",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
        **choices,
    }
    return DirectScript(lab, USER, inputs, deployment.environ, directory).wait()


def test_limits_that_a_person_chooses_are_those_of_the_job(deployment: Deployment, cluster: Cluster) -> None:
    partitions = cluster.ssh("sinfo", "-h", "-o", "%R").stdout.decode().split()
    deployment.configure(
        "SLURM", user_time_max="00:10:00", user_memory_max="900M", user_partitions=", ".join(partitions)
    )
    deployment.command("refresh")

    refused = run(deployment, "refused", nuclei_Time="00:10:01")
    assert refused.exit_status == 1
    assert refused.message == (
        "Not started: 'nuclei Time' is '00:10:01', and at most 00:10:00 is allowed."
        " Give an amount such as 00:30:00, of at most 00:10:00, or leave the field empty."
    )

    chosen = {"nuclei_Time": "7", "nuclei_Memory": "600M", "nuclei_Partition": partitions[-1]}
    ended = run(deployment, "chosen", **chosen)
    assert ended.exit_status == 0, ended.message
    with deployment.record() as record:
        (row,) = record.reader.list_runs()
        task = record.tracker.task(record.tracker.run(row.run_id).tasks[1])
    columns = ("-n", "-X", "-P", "-o", "Timelimit,ReqMem,Partition")
    accounted = cluster.ssh("sacct", "-j", str(task.job_ids[0]), *columns).stdout.decode().strip()
    limit, memory, partition = accounted.split("|")
    assert (limit, memory.rstrip("nc"), partition) == ("00:07:00", "600M", partitions[-1])


def test_a_file_that_is_not_there_or_of_another_kind_starts_nothing(deployment: Deployment) -> None:
    path = catalogues.catalogue_path(deployment.directory / "state")
    catalogue = catalogues.load(path)
    entry = catalogue.entry("nuclei")
    assert entry is not None
    assert entry.analysis is not None
    file = Parameter(
        "weights", "W", "string", default=None, optional=True, flag="--w", file_attachment=True, formats=("pt",)
    )
    analysis = dataclasses.replace(entry.analysis, parameters=(*entry.analysis.parameters, file))
    catalogues.save(path, dataclasses.replace(catalogue, entries=(dataclasses.replace(entry, analysis=analysis),)))
    with logged_in(deployment.lab, USER) as gateway:
        notes = attach(gateway, deployment.directory)
    for annotation_id, why in ((notes, r"'notes.txt' is not allowed here"), (999_999, "999999")):
        refused = run(deployment, f"file {annotation_id}", **{"nuclei_|_FILE_weights": [annotation_id]})
        assert refused.exit_status == 1
        assert refused.message.startswith("Not started: 'nuclei | FILE weights': ")
        assert why in refused.message
    with deployment.record() as record:
        assert record.reader.list_runs() == []


def attach(gateway: BlitzGateway, directory: Path) -> int:
    """Put a file into OMERO."""
    file = directory / "notes.txt"
    file.write_text("no weights\n")
    annotation = gateway.createFileAnnfromLocalFile(str(file), mimetype="text/plain", ns="test")
    return int(annotation.getId())
