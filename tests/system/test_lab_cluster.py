"""The lab's cluster is a real one: Slurm, sshd, apptainer and PostgreSQL, seen with the system's own clients."""

from __future__ import annotations

import csv
import io
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
import tifffile

from tests.lab import lifecycle, samples
from tests.lab.cluster import Cluster
from tests.lab.description import CHECKOUT, Lab

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

pytestmark = pytest.mark.lab


def image(lab: Lab) -> str:
    """The container image of the analysis, where the cluster has it."""
    return f"{lab.images_path}/nuclei/w_nuclei_{lab.nuclei_version}.sif"


def test_the_lab_runs_and_is_ours(lab: Lab) -> None:
    assert lab.checkout == CHECKOUT
    cluster_parts = {"sshd", "postgres", "slurm", "analyses"}
    statuses = lifecycle.statuses(lab.base)
    assert {name: statuses[name] for name in cluster_parts} == dict.fromkeys(cluster_parts, "running")


def test_bringing_up_a_running_lab_does_nothing(lab: Lab) -> None:
    before = {process.name: process for process in lifecycle.running_processes(lab.base)}
    assert lifecycle.up(lab.base).parts == ()
    assert {process.name: process for process in lifecycle.running_processes(lab.base)} == before


def test_one_logs_in_as_an_ordinary_user(cluster: Cluster) -> None:
    assert cluster.run("id", "-un").strip() == cluster.lab.ssh_user
    assert cluster.run("id", "-u").strip() != "0"
    assert cluster.run("pwd").strip() == str(cluster.lab.cluster_home)


def test_one_logs_in_through_a_jump_host(lab: Lab) -> None:
    through = Cluster(lab, host=str(lab.ssh_jump_alias))
    assert through.run("echo", "arrived").strip() == "arrived"


def test_the_private_key_is_its_owners_alone(lab: Lab) -> None:
    assert lab.key is not None
    assert stat.S_IMODE(lab.key.stat().st_mode) == 0o600


def test_an_unknown_host_key_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    completed = cluster.ssh("true", options=("-o", f"UserKnownHostsFile={empty}"))
    assert completed.returncode == 255
    assert b"Host key verification failed" in completed.stderr


def test_an_unknown_key_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    stranger = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    config = tmp_path / "config"
    assert cluster.lab.ssh_config is not None
    text = cluster.lab.ssh_config.read_text(encoding="utf-8")
    config.write_text(text.replace(str(cluster.lab.key), str(stranger)), encoding="utf-8")
    argv = ["ssh", "-F", str(config), cluster.host, "true"]
    completed = subprocess.run(argv, capture_output=True, check=False)
    assert completed.returncode == 255
    assert b"Permission denied" in completed.stderr


def test_the_login_directory_can_be_mounted_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    """A container mounts it as somebody's ~/.ssh: nothing but config has to know where it lies."""
    lab = cluster.lab
    assert lab.ssh_directory is not None
    assert lab.ssh_config is not None
    copy = shutil.copytree(lab.ssh_directory, tmp_path / "ssh")
    config = copy / "config"
    config.write_text(lab.ssh_config.read_text("utf-8").replace(str(lab.ssh_directory), str(copy)), "utf-8")
    subprocess.run(["ssh", "-F", str(config), cluster.host, "true"], check=True)


def test_a_job_runs_and_is_accounted_for(cluster: Cluster, scratch: PurePosixPath) -> None:
    job_id = cluster.sbatch("#!/bin/bash\necho on $SLURMD_NODENAME\n", f"--output={scratch}/%j.log", "--comment=a key")
    job = cluster.wait(job_id)
    assert (job.state, job.exit_code) == ("COMPLETED", "0:0")
    assert cluster.read(scratch / f"{job_id}.log").decode().strip() == f"on {job.node}"


def test_a_failing_job_keeps_its_exit_code(cluster: Cluster) -> None:
    job = cluster.wait(cluster.sbatch("#!/bin/bash\nexit 7\n", "--output=/dev/null"))
    assert (job.state, job.exit_code) == ("FAILED", "7:0")


def test_a_cancelled_job_leaves_no_process(cluster: Cluster, scratch: PurePosixPath) -> None:
    marker = str(3600 + os.getpid())
    job_id = cluster.sbatch(f"#!/bin/bash\necho begun\nsleep {marker}\n", f"--output={scratch}/log")
    while not cluster.ssh("grep", "begun", f"{scratch}/log").stdout:
        pass
    cluster.run("scancel", str(job_id))
    assert cluster.wait(job_id).state == "CANCELLED"
    assert cluster.ssh("pgrep", "-f", f"^sleep {marker}").returncode == 1


def test_gpus_are_handed_out(cluster: Cluster, scratch: PurePosixPath) -> None:
    partition = f"--partition={cluster.lab.gpu_partition}"
    assert "gpu:a100:2" in cluster.run("sinfo", "-h", partition, "-o", "%G")
    script = "#!/bin/bash\necho $CUDA_VISIBLE_DEVICES\n"
    cluster.wait(cluster.sbatch(script, partition, "--gres=gpu:2", f"--output={scratch}/log"))
    assert cluster.read(scratch / "log").decode().strip() == "0,1"


def test_a_gpu_in_a_partition_without_any_is_refused(cluster: Cluster) -> None:
    completed = cluster.ssh("sbatch", "--partition=cpu", "--gres=gpu:1", stdin=b"#!/bin/bash\n")
    assert completed.returncode == 1


@pytest.mark.parametrize("program", ["apptainer", "singularity"])
def test_a_container_runs_in_a_job_without_privileges(cluster: Cluster, scratch: PurePosixPath, program: str) -> None:
    script = f"#!/bin/bash\nset -e\n{program} exec {image(cluster.lab)} sh -c 'id -un; cat /etc/debian_version'\n"
    job = cluster.wait(cluster.sbatch(script, f"--output={scratch}/log", f"--error={scratch}/err"))
    assert job.state == "COMPLETED", cluster.read(scratch / "err").decode()
    user, version = cluster.read(scratch / "log").decode().split()
    assert user == cluster.lab.ssh_user
    assert version.startswith("12")


def test_the_analysis_finds_nuclei_in_a_job(cluster: Cluster, scratch: PurePosixPath) -> None:
    cluster.write(scratch / "in/img2d.tif", samples.fetch().joinpath(samples.IMAGE).read_bytes())
    folders = f"--infolder {scratch}/in --gtfolder {scratch}/gt --outfolder {scratch}/out"
    script = f"#!/bin/bash\nset -e\nsingularity run {image(cluster.lab)} {folders} --local -nmc --diameter 20\n"
    job = cluster.wait(cluster.sbatch(script, "--cpus-per-task=2", "--mem=1G", f"--output={scratch}/log"))
    log = cluster.read(scratch / "log").decode()
    assert job.state == "COMPLETED", log
    assert "100%" in log.splitlines()
    labels = tifffile.imread(io.BytesIO(cluster.read(scratch / "out/img2d_labels.tif")))
    assert samples.f1_score(labels, samples.nuclei_truth()) >= 0.8
    table = list(csv.DictReader(io.StringIO(cluster.read(scratch / "out/measurements.csv").decode())))
    assert len(table) == labels.max()


def test_the_exit_code_of_a_container_is_that_of_its_job(cluster: Cluster, scratch: PurePosixPath) -> None:
    cluster.write(scratch / "in/img2d.tif", samples.fetch().joinpath(samples.IMAGE).read_bytes())
    arguments = f"--infolder {scratch}/in --outfolder {scratch}/out --debug_exit 42"
    script = f"#!/bin/bash\nexec singularity run {image(cluster.lab)} {arguments}\n"
    job = cluster.wait(cluster.sbatch(script, "--output=/dev/null"))
    assert (job.state, job.exit_code) == ("FAILED", "42:0")


def test_the_descriptor_can_be_cloned_at_its_version(lab: Lab, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    argv = ["git", "clone", "--quiet", "--branch", str(lab.nuclei_version), "--depth", "1"]
    subprocess.run([*argv, f"file://{lab.nuclei_repo}", clone], check=True, capture_output=True)
    assert f'"image": "{lab.nuclei_image}"' in (clone / "descriptor.json").read_text(encoding="utf-8")


def test_every_test_gets_an_empty_database_of_its_own(lab: Lab, database_url: str) -> None:
    assert database_url != lab.postgres_url
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE one (id bigint)"))
    engine.dispose()


def test_the_database_wants_its_password(lab: Lab) -> None:
    assert lab.postgres_url is not None
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(lab.postgres_url).set(password="wrong"))
    with pytest.raises(sqlalchemy.exc.OperationalError, match="password authentication failed"):
        engine.connect()
    engine.dispose()
