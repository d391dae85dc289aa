"""``python -m tests.docker.build``: builds the local base and the worker's image on it.

No registry is asked for anything: Debian comes from debootstrap, packages from the machine's own apt and pip sources.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docker.engine import DockerFailed, engine_base, running_engine

if TYPE_CHECKING:
    from tests.docker.engine import Engine

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WHEELS = Path("~/.cache/omero-worker/wheels").expanduser()
"""Where the lab keeps the wheel of zeroc-ice that it built; the real base has one, too."""

DEBIAN_IMAGE = "omero-worker-test/debian:bookworm"
BASE_IMAGE = "omero-worker-test/omero-server:local"
WORKER_IMAGE = "omero-worker:test"

CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
CA_IN_IMAGE = "/etc/ssl/host-ca.crt"


def build_all(engine: Engine) -> str:
    """Build whatever has changed.

    Parameters
    ----------
    engine : Engine
        A running engine.

    Returns
    -------
    str
        Name of the worker's image.

    Raises
    ------
    DockerFailed
        A build failed.
    """
    if not engine.has_image(DEBIAN_IMAGE):
        make_debian(engine)
    build_base(engine)
    engine.run(
        "build", "--network", "host", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--tag", WORKER_IMAGE, str(CHECKOUT)
    )
    return WORKER_IMAGE


def make_debian(engine: Engine) -> None:
    """Make the image of a bare Debian, which trusts the certificates that this machine trusts."""
    with tempfile.TemporaryDirectory(dir=engine.base) as directory:
        root = Path(directory) / "rootfs"
        _run(["debootstrap", "--variant=minbase", "bookworm", str(root)])
        changes = ["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 'CMD ["bash"]']
        bundle = os.environ.get("SSL_CERT_FILE")
        if bundle:
            copy = root / CA_IN_IMAGE.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle, copy)
            changes += [f"ENV {name}={CA_IN_IMAGE}" for name in CA_VARIABLES]
        archive = Path(directory) / "rootfs.tar"
        _run(["tar", "--directory", str(root), "--create", "--file", str(archive), "."])
        options = [part for change in changes for part in ("--change", change)]
        engine.run("import", *options, str(archive), DEBIAN_IMAGE)


def build_base(engine: Engine) -> None:
    """Build the stand-in for openmicroscopy/omero-server."""
    wheels = sorted(WHEELS.glob("zeroc_ice-*-cp311-*.whl"))
    if not wheels:
        raise DockerFailed(f"there is no wheel of zeroc-ice in {WHEELS}: run 'make lab-install' first")
    with tempfile.TemporaryDirectory(dir=engine.base) as directory:
        context = Path(directory) / "context"
        shutil.copytree(HERE / "base", context)
        (context / "wheels").mkdir()
        shutil.copy2(wheels[-1], context / "wheels")
        engine.run(
            *("build", "--network", "host", "--build-arg", f"DEBIAN_IMAGE={DEBIAN_IMAGE}", "--tag", BASE_IMAGE),
            *("--file", str(HERE / "base.Dockerfile"), str(context)),
        )


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DockerFailed(f"{command[0]} ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr}")


if __name__ == "__main__":
    with running_engine(engine_base()) as _engine:
        print(build_all(_engine))
