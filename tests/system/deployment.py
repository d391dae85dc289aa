"""A worker deployment of a test's own: slurm-config.ini, database, secret files and engine service."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.deployment import configuration, environment
from tests.lab.description import CHECKOUT
from worker.engine.assembly import Record, open_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.lab.description import Lab


@dataclass(frozen=True, slots=True)
class Deployment:
    """A worker that belongs to one test."""

    lab: Lab
    directory: Path
    environ: dict[str, str]

    @classmethod
    def create(cls, lab: Lab, directory: Path, database_url: str) -> Deployment:
        """Write the files of a deployment.

        Parameters
        ----------
        lab : Lab
            The lab whose cluster and OMERO it uses.
        directory : Path
            Where its files go.
        database_url : str
            SQLAlchemy URL of its database.

        Returns
        -------
        Deployment
            The deployment, with the lab's workflows in its catalogue.
        """
        secret = directory / "sqlalchemy-url"
        secret.touch(mode=0o600)
        secret.write_text(database_url, encoding="utf-8")
        environ = environment(lab.base, int(lab.omero_port or 0)) | {
            "OMERO_WORKER_CONFIG_FILE": str(directory / "slurm-config.ini"),
            "OMERO_WORKER_STATE_DIR": str(directory / "state"),
            "SQLALCHEMY_URL_FILE": str(secret),
            "HOME": str(directory),
        }
        deployment = cls(lab, directory, environ)
        facts = {name: getattr(lab, name) for name in CONFIGURED_FIELDS}
        (directory / "slurm-config.ini").write_text(configuration(facts), encoding="utf-8")
        # What `omero-worker refresh` has written for the lab's own worker holds for this one: it has the same ones.
        (directory / "state").mkdir(mode=0o700)
        shutil.copy(lab.base / "worker" / "state" / "catalogue.json", directory / "state")
        kept = shutil.ignore_patterns("*.git", "*.lock", "*.silent")
        shutil.copytree(lab.base / "worker" / "state" / "descriptors", directory / "state" / "descriptors", ignore=kept)
        return deployment

    def configure(self, section: str, **values: str) -> None:
        """Change slurm-config.ini, as an admin would.

        Parameters
        ----------
        section : str
            The section.
        **values : str
            Keys and values.
        """
        parser = configparser.ConfigParser(interpolation=None)
        path = self.directory / "slurm-config.ini"
        parser.read(path, encoding="utf-8")
        for key, value in values.items():
            parser.set(section, key, value)
        with path.open("w", encoding="utf-8") as file:
            parser.write(file)

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``omero-worker`` as an admin of this deployment."""
        return subprocess.run(
            [sys.executable, "-m", "worker.cli", *arguments],
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "200", **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    def record(self) -> AbstractContextManager[Record]:
        """Open the record of this deployment's runs."""
        return open_record({**self.environ, "PATH": os.environ["PATH"]})

    @contextmanager
    def engine(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the engine service of this deployment."""
        log_path = self.directory / "engine.log"
        with log_path.open("ab") as log:
            said_before = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", "serve"],
                cwd=CHECKOUT,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + 20
            while b"service_started" not in log_path.read_bytes()[said_before:]:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the engine did not start: {log_path.read_text()}")
                time.sleep(0.05)
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=20)


CONFIGURED_FIELDS = (
    "ssh_alias",
    "ssh_config",
    "data_path",
    "images_path",
    "script_path",
    "nuclei_repo",
    "nuclei_version",
    "echo_repo",
)
"""Fields of the lab's description that the configuration is made from."""
