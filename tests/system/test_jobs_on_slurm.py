"""Conversions, and jobs of a site's own making, on real Slurm with a real container runtime."""

from __future__ import annotations

import io
import json
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
import tifffile
import zarr

from tests.lab.analyses import sif
from worker.cluster import conversion, flags, slurm, ssh, uploads, variables
from worker.cluster.jobscript import JobRequest
from worker.cluster.layout import RunLayout
from worker.cluster.sitescript import SiteScript
from worker.cluster.states import JobReport, JobState
from worker.settings.models import SlurmSettings, SshSettings, WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab
    from worker.cluster.ssh import SshPool

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def transport(lab: Lab) -> Iterator[SshPool]:
    """The cluster."""
    assert lab.ssh_config
    pool = ssh.connect_pool(SshSettings(host=str(lab.ssh_alias), ssh_config=lab.ssh_config))
    yield pool
    pool.close()


@pytest.fixture
def layout(transport: SshPool, lab: Lab) -> Iterator[RunLayout]:
    """A run's folder on the cluster, removed at the end."""
    layout = RunLayout(str(PurePosixPath(str(lab.cluster_home)) / f"test {uuid4()}"), uuid4())
    yield layout
    transport.run(["rm", "-rf", "--", str(layout.data_path)]).check()


def wait(transport: SshPool, job: JobRequest, number: int) -> JobReport:
    """Ask until a job has ended."""
    deadline = time.monotonic() + 60
    while True:
        files = {number: job.layout.exit_file(number)}
        report = slurm.query(transport, [number], files, keys={number: job.key})[number]
        if report.state.terminal:
            return report
        assert time.monotonic() < deadline, report
        time.sleep(0.3)


def upload(transport: SshPool, layout: RunLayout, folder: Path) -> None:
    with uploads.TarUpload(transport, layout.input) as sending:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                sending.add(str(path.relative_to(folder)), path.read_bytes())


def test_inputs_are_kept_until_the_whole_array_has_succeeded(
    transport: SshPool, cluster: Cluster, layout: RunLayout, tmp_path: Path
) -> None:
    values = np.random.default_rng(3).integers(0, 900, (2, 3, 40, 50)).astype("uint16")
    names = ("it's one.zarr", "sub/two.ome.zarr", "three.zarr")
    for number, name in enumerate(names):
        image = zarr.open_group(str(tmp_path / name), mode="w", zarr_format=2)
        image.create_array("0", shape=values.shape, dtype=values.dtype, chunks=(1, 1, 40, 50))[...] = values + number
        axes = [{"name": axis} for axis in "czyx"]
        image.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    whole = (tmp_path / "three.zarr/0/0.0.0.0").read_bytes()
    (tmp_path / "three.zarr/0/0.0.0.0").write_bytes(whole[:20])
    upload(transport, layout, tmp_path)

    settings = SlurmSettings(
        slurm_converters_path=str(layout.data_path / "converters"),
        sbatch_flags={"mem": "400M", "time": "4"},
        slurm_conversion_partition="short",
        slurm_default_partition="no-such-partition",
        env_file_submission=True,
    )
    image_file, _ = conversion.converter_image(settings, {}, "zarr", "tiff")
    cluster.write(image_file, sif.ensure("zarr_to_tiff").read_bytes())
    inputs = conversion.find_inputs(transport, layout, "zarr")
    assert inputs == tuple(sorted(names))

    def convert() -> tuple[JobReport, int]:
        task = uuid4()
        job = conversion.array_job(
            settings,
            {},
            key=str(task),
            task_id=task,
            layout=layout,
            inputs=inputs,
            source_format="zarr",
            target_format="tiff",
            tasks_max=conversion.most_tasks(transport),
        )
        number = slurm.submit(transport, layout, job)
        return wait(transport, job, number), number

    report, number = convert()
    damaged = inputs.index("three.zarr") + 1
    assert (report.state, report.exit_code) == (JobState.FAILED, 1)
    assert report.reason.startswith(f"1 of 3 tasks failed, the first is task {damaged}: 1 not converted")
    log = conversion.read_logs(transport, layout, number).decode()
    assert log.count("==> omero-") == 3
    assert "three.zarr was not converted" in log
    assert conversion.find_inputs(transport, layout, "zarr") == inputs

    cluster.write(layout.input / "three.zarr/0/0.0.0.0", whole)
    report, number = convert()
    assert report.state is JobState.COMPLETED, conversion.read_logs(transport, layout, number).decode()
    conversion.remove_inputs(transport, layout, inputs, fence=1)
    assert conversion.find_inputs(transport, layout, "zarr") == ()
    for index, name in enumerate(("it's one.tif", "sub/two.ome.tif", "three.tif")):
        with tifffile.TiffFile(io.BytesIO(cluster.read(layout.input / name))) as tiff:
            assert np.array_equal(tiff.asarray(), values + index)


SITE_SCRIPT = """\
#!/bin/bash
#SBATCH --time=3
#SBATCH --partition=short
#SBATCH --output=elsewhere-%j.log
. "$1"
echo "sourced: $TEXT"
echo "partition: $SLURM_JOB_PARTITION"
printf '%s' "$TEXT" >"$DATA_PATH/data/out/text"
scontrol show job "$SLURM_JOB_ID" | grep -o 'TimeLimit=[^ ]*'
exit "$CODE"
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_hand_written_script_runs_as_it_did_with_biomero(
    transport: SshPool, cluster: Cluster, layout: RunLayout, code: int
) -> None:
    script = SiteScript(PurePosixPath("scripts/jobs/text.sh"), SITE_SCRIPT)
    typed = 'it\'s "quoted" $(touch pwned) `touch pwned`\nünï -rf'
    settings = SlurmSettings(sbatch_flags={"mem": "100M"}, slurm_default_partition="cpu")
    workflow = WorkflowSettings(name="text", image_folder="text", job_flags={"comment": "x"})
    merged = flags.sbatch_flags(settings, workflow, script=script.flags)
    task = uuid4()
    image = PurePosixPath("images/none_v1.sif")
    values: dict[str, Any] = {"text": typed, "code": code}
    job = JobRequest(
        key=str(task),
        task_id=task,
        workflow="text",
        version="v1",
        image=image,
        arguments=(),
        layout=layout,
        flags=merged,
        site_script=script,
        environment=variables.job_variables(image=image, version="v1", script_path="s", nv=False, parameters=values),
        env_file=True,
    )
    number = slurm.submit(transport, layout, job)
    report = wait(transport, job, number)
    log = slurm.read_log(transport, layout, number).decode()
    assert (report.state, report.exit_code) == (JobState.FAILED if code else JobState.COMPLETED, code), log
    assert f"sourced: {typed}" in log
    assert "partition: cpu" in log
    assert "TimeLimit=00:03:00" in log
    assert cluster.read(layout.output / "text").decode() == typed
    assert json.loads(cluster.read(layout.exit_file(number)))["key"] == job.key
    file = layout.variables(task)
    assert cluster.run("stat", "-c", "%a", str(file)).strip() == "600"
