"""The worker itself in the lab: its configuration, as an admin would write it, and its engine service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tests.lab.analyses.part import ECHOES
from tests.lab.parts import PartFailed, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.parts import LabContext

DATABASE = "biomero"

CONFIGURATION = """\
# The lab's slurm-config.ini.
[SSH]
host = {ssh_alias}
ssh_config = {ssh_config}

[SLURM]
slurm_data_path = {data_path}
slurm_images_path = {images_path}
slurm_script_path = {script_path}

[ANALYTICS]
track_workflows = True

[WORKFLOWS]
nuclei = nuclei
nuclei_repo = file://{nuclei_repo}/tree/{nuclei_version}
nuclei_job = jobs/nuclei.sh
nuclei_job_mem = 1GB
nuclei_job_time = 00:10:00
nuclei_job_cpus-per-task = 1
# One image that tells what it was given, with descriptors of each schema.
{echoes}
[WORKER]
poll_interval_min_s = 0.5
poll_interval_max_s = 5
lease_s = 10
"""

ECHO = """\
echo_{name} = echo_{name}
echo_{name}_repo = file://{echo_repo}/tree/{nuclei_version}/{name}
echo_{name}_job_mem = 200MB
echo_{name}_job_time = 00:05:00
echo_{name}_job_cpus-per-task = 1
"""


def configuration(facts: Mapping[str, object]) -> str:
    """Write slurm-config.ini.

    Parameters
    ----------
    facts : mapping of str to object
        Where the parts of the lab are: fields of its description.

    Returns
    -------
    str
        Its text.
    """
    echoes = (ECHO.format(**{**facts, "name": name}) for name in ECHOES)
    return CONFIGURATION.format(**{**facts, "echoes": "".join(echoes)})


class DeploymentPart:
    """Writes slurm-config.ini, secret files and the environment that Processor-0 and the engine are started with."""

    name = "deployment"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        """Write the files and create the database."""
        directory = ctx.directory("worker", mode=0o700)
        facts = ctx.facts
        config = directory / "slurm-config.ini"
        config.write_text(configuration(facts), encoding="utf-8")
        url = create_database(facts["postgres_url"], DATABASE)
        secret = directory / "sqlalchemy-url"
        secret.touch(mode=0o600)
        secret.write_text(url + "\n", encoding="utf-8")
        variables = environment(ctx.base, ctx.port("omero"))
        # What Processor-0 is started with; it hands it on to scripts, without the secrets.
        (ctx.directory("omero", mode=0o700) / "processor.env").write_text(
            "".join(f"{name}={value}\n" for name, value in variables.items() if name != "HOME"), encoding="utf-8"
        )
        return {"worker_environment": variables, "worker_config": str(config)}

    def stop(self, ctx: LabContext) -> None:
        """Leave the files; they are configuration."""

    def status(self, ctx: LabContext) -> str:
        """Say whether the configuration has been written."""
        return "running" if (ctx.base / "worker" / "slurm-config.ini").exists() else "not configured"


class EnginePart:
    """Runs ``omero-worker serve``."""

    name = "engine"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        """Bring the database and the catalogue up to date and start the service."""
        env = ctx.facts["worker_environment"]
        command = [sys.executable, "-m", "worker.cli"]
        run([*command, "refresh"], env=env, cwd=ctx.checkout)
        ctx.spawn("engine", [*command, "serve"], env, cwd=ctx.checkout)
        log = ctx.log_directory / "engine.log"
        ctx.wait_for("the engine", lambda: "service_started" in log.read_text(encoding="utf-8"), daemon="engine")
        return {}

    def stop(self, ctx: LabContext) -> None:
        """Stop the service; runs stay in the record."""
        ctx.end("engine", grace_s=10.0)

    def status(self, ctx: LabContext) -> str:
        """Say whether it runs."""
        return ctx.statuses("engine")


def environment(base: Path, omero_port: int) -> dict[str, str]:
    """The environment of Processor-0 and the engine; secrets are in files.

    Parameters
    ----------
    base : Path
        Base directory of the lab.
    omero_port : int
        Where OMERO listens.

    Returns
    -------
    dict
        Names and values.
    """
    directory = base / "worker"
    return {
        "OMERO_WORKER_NAME": "biomeroworker",
        "OMERO_WORKER_CONFIG_FILE": str(directory / "slurm-config.ini"),
        "OMERO_WORKER_STATE_DIR": str(directory / "state"),
        "PERSISTENCE_MODULE": "eventsourcing_sqlalchemy",
        "SQLALCHEMY_URL_FILE": str(directory / "sqlalchemy-url"),
        "OMERO_HOST": "127.0.0.1",
        "OMERO_PORT": str(omero_port),
        "OMERO_SERVICE_USER": "omero-worker",
        "OMERO_SERVICE_PASSWORD_FILE": str(base / "omero" / "service-password"),
        "IMPORTER_ENABLED": "false",
        "HOME": str(directory),
    }


def create_database(admin_url: str, name: str) -> str:
    """Create a PostgreSQL database, if it is not there.

    Parameters
    ----------
    admin_url : str
        SQLAlchemy URL of an administrator.
    name : str
        The database.

    Returns
    -------
    str
        Its URL.
    """
    url = sa.make_url(admin_url)
    engine: Any = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            known = connection.execute(
                sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}
            ).scalar()
            if not known:
                if not name.isidentifier():
                    raise PartFailed(f"{name!r} is no name for a database")
                connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    finally:
        engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)
