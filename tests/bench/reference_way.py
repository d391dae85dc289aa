"""``python -m tests.bench.reference_way DATASET NAME``: from a dataset to a submitted job, the way it was done before.

A fair re-implementation of the way, not of the code: one image after the other through omero-cli-zarr into a local
folder, a zip of it, the zip through SFTP, the zip unpacked on the login node, sbatch. The libraries are the ones that
the replaced worker uses, with the settings that they have by themselves. What it does besides is left out, which is in
its favour: a process of the ``omero`` command for each image, the copy of the zip that is uploaded to OMERO, job
scripts that are generated and sent again for every run, and a second and third connection to the cluster.

It is started as the Processor starts a script: the session is in the file that ``ICE_CONFIG`` names. Where the
cluster is, it reads from the lab's description; its host key is checked. Its last line of output is JSON: the times at
which each stage was through, in seconds since the epoch, and the Slurm job. It leaves what it has sent on the cluster.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import omero
import omero_zarr.raw_pixels
import paramiko
from omero.gateway import BlitzGateway

from tests.lab.description import Lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import ImageWrapper

OME_ZARR_VERSION = "0.4"
UNPACK = """\
if command -v 7z >/dev/null; then
    7z x -y -bd -o"$2" "$1" >/dev/null
else
    python3 -m zipfile -e "$1" "$2"
fi
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do it, and print the times."""
    parser = argparse.ArgumentParser(description="Export a dataset and submit a job, the way it was done before.")
    parser.add_argument("dataset", type=int, help="id of the dataset")
    parser.add_argument("name", help="name of the archive and of its folder on the cluster")
    arguments = parser.parse_args(argv)
    name: str = arguments.name
    lab = Lab.load()
    times = {"imported": time.time()}
    client = omero.client()
    client.createSession().detachOnDestroy()
    try:
        gateway = BlitzGateway(client_obj=client)
        times["joined"] = time.time()
        with tempfile.TemporaryDirectory(prefix="reference-way-") as work:
            folder = Path(work) / name
            folder.mkdir()
            for image in sorted(
                gateway.getObject("Dataset", arguments.dataset).listChildren(), key=lambda each: each.getId()
            ):
                export(image, folder)
            times["exported"] = time.time()
            archive = shutil.make_archive(str(folder), "zip", root_dir=folder)
            times["zipped"] = time.time()
            job_id = send_and_submit(lab, Path(archive), name, times)
    finally:
        client.closeSession()
    print(json.dumps({"times": times, "job_id": job_id}))
    return 0


def export(image: ImageWrapper, folder: Path) -> None:
    """Export an image with omero-cli-zarr, and name its tree after the image."""
    arguments = argparse.Namespace(
        output=str(folder), name_by="id", format=OME_ZARR_VERSION, tile_width=None, tile_height=None
    )
    omero_zarr.raw_pixels.image_to_zarr(image, arguments)
    (folder / f"{image.getId()}.ome.zarr").rename(folder / f"{image.getName()}.zarr")


def send_and_submit(lab: Lab, archive: Path, name: str, times: dict[str, float]) -> int:
    """Send the archive, unpack it, submit a job that does nothing, and return its id."""
    remote_zip = f"{lab.data_path}/{name}.zip"
    remote_input = f"{lab.data_path}/{name}/data/in"
    with paramiko.SSHClient() as ssh:
        ssh.load_host_keys(str(lab.known_hosts))
        ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
        ssh.connect(str(lab.ssh_host), int(lab.ssh_port or 22), lab.ssh_user, key_filename=str(lab.key))
        run(ssh, "mkdir", "-p", str(lab.data_path))
        with ssh.open_sftp() as sftp:
            sftp.put(str(archive), remote_zip)
        times["sent"] = time.time()
        run(ssh, "mkdir", "-p", remote_input)
        run(ssh, "sh", "-c", UNPACK, "unpack", remote_zip, remote_input)
        times["unpacked"] = time.time()
        answer = run(ssh, "sbatch", "--parsable", "--job-name=bench", "--output=/dev/null", "--wrap=true")
        times["submitted"] = time.time()
    return int(answer.partition(";")[0])


def run(ssh: paramiko.SSHClient, *argv: str) -> str:
    """Run a command on the login node that must end with status 0, and return its output."""
    _, stdout, stderr = ssh.exec_command(shlex.join(argv))
    output = stdout.read().decode()
    status = stdout.channel.recv_exit_status()
    if status != 0:
        raise RuntimeError(f"{argv[0]} ended with {status}: {stderr.read().decode()}")
    return output


if __name__ == "__main__":
    raise SystemExit(main())
