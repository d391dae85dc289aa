"""The environment of the worker: where its databases, its OMERO server and its files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from worker.errors import SettingsError
from worker.settings import locations, models, reading
from worker.settings.secret_files import read_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_PERSISTENCE_MODULE = "eventsourcing_sqlalchemy"

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY")

FORWARDED_NAMES: tuple[str, ...] = (
    *_PROXIES,
    *(name.lower() for name in _PROXIES),
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "TZ",
    "PERSISTENCE_MODULE",
    "SQLALCHEMY_URL_FILE",
    "INGEST_TRACKING_DB_URL_FILE",
    "GITHUB_TOKEN_FILE",
    "GITLAB_TOKEN_FILE",
    "IMPORTER_ENABLED",
    "IMPORTER_CONFIG_PATH",
    "OMERO_BIOMERO_CONFIG_FILE",
    "OMERO_BIOMERO_GROUP_MAPPINGS_FILE",
    "CONFIG_omero_master_host",
    "OMERO_HOST",
    "OMERO_PORT",
    "OMERO_WORKER_NAME",
    "OMERO_WORKER_STATE_DIR",
    "OMERO_WORKER_LOG_DIR",
    "OMERO_WORKER_CONFIG_FILE",
    *models.variables(),
)
"""The variables that Processor-0 hands on to scripts: none holds a secret, some name a file that does.

The service account's name and password are not among them: a script acts with its own session.
"""


class WorkerEnvironment(BaseModel):
    """What the environment says, read once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sqlalchemy_url: SecretStr | None = Field(
        default=None,
        description="The database of the record of runs, as SQLAlchemy names it. Without one, a SQLite file in the "
        "state folder.",
    )
    ingest_tracking_db_url: SecretStr | None = Field(
        default=None, description="The database of the importer, for results that are imported in place."
    )
    importer_enabled: bool = Field(
        default=False,
        description="Whether results are imported in place by the importer (True), or through OMERO's API (False, the "
        "default).",
    )
    importer_config_path: Path | None = Field(
        default=None,
        description="The settings.yml of the importer. Default: /opt/omero/server/config-importer/settings.yml.",
    )
    omero_biomero_config_file: Path | None = Field(
        default=None,
        description="The biomero-config.json of the web plugin, which maps groups to folders. Default: "
        "/opt/omero/server/biomero-config.json.",
    )
    omero_biomero_group_mappings_file: Path | None = Field(
        default=None,
        description="The mapping of groups to folders, where it is kept apart. Default: "
        "/opt/omero/server/group-mappings.json.",
    )
    omero_host: str = Field(
        default="localhost", description="The OMERO server; the first that is set counts. Default: localhost."
    )
    omero_port: int = Field(default=4064, description="Its port for TLS. Default: 4064.")
    worker_name: str | None = Field(default=None, description="The name of this node in OMERO.grid.")
    service_user: str | None = Field(
        default=None, description="The account of the engine service in OMERO, with the privilege Sudo and no other."
    )
    service_password: SecretStr | None = Field(default=None, description="Its password.")
    state_dir: Path = Field(
        description="Where this worker keeps what it must remember. Default: ~/.local/state/omero-worker."
    )
    config_file: Path | None = Field(
        default=None, description="A slurm-config.ini that must exist, and wins over the others."
    )
    warnings: tuple[str, ...] = Field(default=(), description="What an admin should look at.")


def _secret(name: str) -> tuple[str, str]:
    return (f"{name}_FILE", name)


VARIABLES: Mapping[str, tuple[str, ...]] = {
    "sqlalchemy_url": _secret("SQLALCHEMY_URL"),
    "ingest_tracking_db_url": _secret("INGEST_TRACKING_DB_URL"),
    "importer_enabled": ("IMPORTER_ENABLED",),
    "importer_config_path": ("IMPORTER_CONFIG_PATH",),
    "omero_biomero_config_file": ("OMERO_BIOMERO_CONFIG_FILE",),
    "omero_biomero_group_mappings_file": ("OMERO_BIOMERO_GROUP_MAPPINGS_FILE",),
    "omero_host": ("OMERO_HOST", "CONFIG_omero_master_host"),
    "omero_port": ("OMERO_PORT",),
    "worker_name": ("OMERO_WORKER_NAME",),
    "service_user": ("OMERO_SERVICE_USER",),
    "service_password": _secret("OMERO_SERVICE_PASSWORD"),
    "state_dir": ("OMERO_WORKER_STATE_DIR",),
    "config_file": ("OMERO_WORKER_CONFIG_FILE",),
}
"""From a field of `WorkerEnvironment` to the variables that say it."""


def read_environment(environ: Mapping[str, str] | None = None) -> WorkerEnvironment:
    """Read the environment; a blank variable counts as one that is not set.

    Parameters
    ----------
    environ : Mapping[str, str] | None
        The environment; None is that of this process.

    Returns
    -------
    WorkerEnvironment
        What it says.

    Raises
    ------
    SettingsError
        A value is not allowed, or a secret file cannot be read.
    """
    environ = os.environ if environ is None else environ
    warnings: list[str] = []
    module = _text(environ, "PERSISTENCE_MODULE")
    if module is not None and module != _PERSISTENCE_MODULE:
        raise SettingsError(
            f"PERSISTENCE_MODULE is {module!r}, and only {_PERSISTENCE_MODULE!r} is supported.",
            remedy="Remove the variable.",
        )
    port = _value(environ, "OMERO_PORT", reading.integer(1))
    return WorkerEnvironment.model_validate(
        {
            "sqlalchemy_url": read_secret("SQLALCHEMY_URL", environ, warnings),
            "ingest_tracking_db_url": read_secret("INGEST_TRACKING_DB_URL", environ, warnings),
            "importer_enabled": _value(environ, "IMPORTER_ENABLED", reading.BOOLEAN) or False,
            "importer_config_path": _path(environ, "IMPORTER_CONFIG_PATH"),
            "omero_biomero_config_file": _path(environ, "OMERO_BIOMERO_CONFIG_FILE"),
            "omero_biomero_group_mappings_file": _path(environ, "OMERO_BIOMERO_GROUP_MAPPINGS_FILE"),
            "omero_host": _text(environ, "OMERO_HOST") or _text(environ, "CONFIG_omero_master_host") or "localhost",
            "omero_port": 4064 if port is None else port,
            "worker_name": _text(environ, "OMERO_WORKER_NAME"),
            "service_user": _text(environ, "OMERO_SERVICE_USER"),
            "service_password": read_secret("OMERO_SERVICE_PASSWORD", environ, warnings),
            "state_dir": locations.state_dir(environ),
            "config_file": _path(environ, "OMERO_WORKER_CONFIG_FILE"),
            "warnings": tuple(warnings),
        }
    )


def _text(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    text = _text(environ, name)
    return None if text is None else locations.expand(text, environ)


def _value(environ: Mapping[str, str], name: str, reader: reading.Reader) -> object:
    text = _text(environ, name)
    if text is None:
        return None
    try:
        return reader(text)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}, but must be {reader.allowed}.") from error
