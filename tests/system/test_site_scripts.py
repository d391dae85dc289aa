"""A deployment whose job scripts are written by hand, from the dialog to the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript, Ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePosixPath

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=omero-job-nuclei
#SBATCH --time=00:07:00
#SBATCH --output=omero-%j.log

. "$1"
echo "Running nuclei Job w/ $IMAGE_PATH | $SINGULARITY_IMAGE | $DATA_PATH"
echo "$IMAGE_VERSION $(scontrol show job "$SLURM_JOB_ID" | grep -o 'TimeLimit=[^ ]*')" >"$SCRIPT_PATH/by hand/ran"
singularity run $GPU_FLAG "$IMAGE_PATH/$SINGULARITY_IMAGE" --infolder "$DATA_PATH/data/in" \\
    --gtfolder "$DATA_PATH/data/gt" --outfolder "$DATA_PATH/data/out" --local -nmc && echo "Job completed successfully."
"""


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    deployment = Deployment.create(lab, tmp_path, database_url)
    deployment.configure("SLURM", slurm_script_repo="https://git.example.org/slurm-scripts", env_file_submission="True")
    deployment.configure("WORKFLOWS", nuclei_job="by hand/nuclei.sh")
    return deployment


@pytest.fixture
def script(lab: Lab, cluster: Cluster) -> Iterator[PurePosixPath]:
    """Where 'cluster init' would put the script."""
    assert lab.script_path is not None
    path = lab.script_path / "by hand/nuclei.sh"
    yield path
    cluster.run("rm", "-rf", str(path.parent))


def run(deployment: Deployment, image_id: int, name: str) -> Ended:
    """Press Run, and wait for the end."""
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "made by hand",
        "4) Upload result CSVs as OMERO tables": False,
        "nuclei": True,
        "nuclei_Version": deployment.lab.nuclei_version,
    }
    directory = deployment.directory / name
    directory.mkdir()
    return DirectScript(deployment.lab, "alice", inputs, deployment.environ, directory).wait()


def test_scripts_written_for_biomero_work_unchanged(
    deployment: Deployment, lab: Lab, cluster: Cluster, script: PurePosixPath
) -> None:
    with logged_in(lab, "alice") as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")
    missing = run(deployment, image_id, "missing")
    assert missing.exit_status == 1
    assert f"The job script of nuclei is not on the cluster: {script}." in missing.message
    assert "omero-worker cluster init" in missing.message

    cluster.write(script, SCRIPT.encode())
    ended = run(deployment, image_id, "there")
    assert ended.exit_status == 0, ended.message
    assert ended.message.startswith("Done: 1 dataset, 1 image, 1 file.")
    # nuclei_job_time of slurm-config.ini wins over the script's own line.
    assert cluster.read(script.parent / "ran").decode() == f"{lab.nuclei_version} TimeLimit=00:10:00\n"
