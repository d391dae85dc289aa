"""The environment of the worker, and secrets in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.settings import locations, models
from worker.settings.environment import FORWARDED_NAMES, read_environment


def secret_file(folder: Path, content: bytes = b"s3cret\n", mode: int = 0o400) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_an_empty_environment_has_defaults() -> None:
    environment = read_environment({"HOME": "/home/x"})
    assert (environment.omero_host, environment.omero_port) == ("localhost", 4064)
    assert environment.state_dir == Path("/home/x/.local/state/omero-worker")
    assert environment.importer_enabled is False
    assert environment.sqlalchemy_url is None
    assert environment.warnings == ()


def test_the_host_of_omero_is_by_default_that_of_the_master() -> None:
    assert read_environment({"CONFIG_omero_master_host": "master"}).omero_host == "master"
    assert read_environment({"CONFIG_omero_master_host": "master", "OMERO_HOST": "omero"}).omero_host == "omero"


def test_paths_and_switches_are_read() -> None:
    environment = read_environment(
        {
            "IMPORTER_ENABLED": "TRUE",
            "IMPORTER_CONFIG_PATH": "/config/settings.yml",
            "OMERO_BIOMERO_CONFIG_FILE": "/biomero-config.json",
            "OMERO_BIOMERO_GROUP_MAPPINGS_FILE": "/groups.json",
            "OMERO_WORKER_STATE_DIR": "/state",
            "OMERO_WORKER_CONFIG_FILE": "/config.ini",
            "OMERO_PORT": "14064",
            "OMERO_SERVICE_USER": "worker",
        }
    )
    assert environment.importer_enabled
    assert environment.importer_config_path == Path("/config/settings.yml")
    assert environment.omero_biomero_config_file == Path("/biomero-config.json")
    assert environment.omero_biomero_group_mappings_file == Path("/groups.json")
    assert environment.state_dir == locations.state_dir({"OMERO_WORKER_STATE_DIR": "/state"}) == Path("/state")
    assert environment.config_file == Path("/config.ini")
    assert (environment.omero_port, environment.service_user) == (14064, "worker")


@pytest.mark.parametrize(("name", "value"), [("IMPORTER_ENABLED", "maybe"), ("OMERO_PORT", "x"), ("OMERO_PORT", "0")])
def test_a_value_that_is_not_allowed_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}', but must be"):
        read_environment({name: value})


def test_only_one_persistence_module_is_supported() -> None:
    read_environment({"PERSISTENCE_MODULE": "eventsourcing_sqlalchemy"})
    with pytest.raises(SettingsError, match=r"PERSISTENCE_MODULE is 'eventsourcing\.popo'"):
        read_environment({"PERSISTENCE_MODULE": "eventsourcing.popo"})


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("SQLALCHEMY_URL", "sqlalchemy_url"),
        ("INGEST_TRACKING_DB_URL", "ingest_tracking_db_url"),
        ("OMERO_SERVICE_PASSWORD", "service_password"),
    ],
)
def test_a_secret_comes_from_its_variable_or_from_a_file_and_never_shows(tmp_path: Path, name: str, field: str) -> None:
    for environ in ({name: "s3cret"}, {f"{name}_FILE": str(secret_file(tmp_path, mode=0o600))}):
        environment = read_environment(environ)
        assert getattr(environment, field).get_secret_value() == "s3cret"
        assert "s3cret" not in f"{environment} {environment!r} {environment.model_dump_json()}"


def test_white_space_inside_a_secret_file_is_kept_but_not_its_last_line_end(tmp_path: Path) -> None:
    path = secret_file(tmp_path, b" with spaces \r\n")
    environment = read_environment({"OMERO_SERVICE_PASSWORD_FILE": str(path)})
    assert environment.service_password is not None
    assert environment.service_password.get_secret_value() == " with spaces "


def test_a_secret_file_that_everybody_may_read_is_a_warning(tmp_path: Path) -> None:
    path = secret_file(tmp_path, mode=0o444)
    (warning,) = read_environment({"SQLALCHEMY_URL_FILE": str(path)}).warnings
    assert f"{path}, which SQLALCHEMY_URL_FILE names, can be read by everybody (mode 0444)" in warning


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    environ = {"SQLALCHEMY_URL": "s3cret", "SQLALCHEMY_URL_FILE": str(secret_file(tmp_path))}
    with pytest.raises(SettingsError, match=r"Both SQLALCHEMY_URL and SQLALCHEMY_URL_FILE") as caught:
        read_environment(environ)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00secret"])
def test_a_secret_file_without_a_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SettingsError, match=r"which SQLALCHEMY_URL_FILE names, is (empty|not text)") as caught:
        read_environment({"SQLALCHEMY_URL_FILE": str(secret_file(tmp_path, content))})
    assert caught.value.__cause__ is None


def test_a_secret_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: No such file"):
        read_environment({"SQLALCHEMY_URL_FILE": str(tmp_path / "missing")})


def test_nothing_that_holds_a_secret_is_forwarded_to_scripts() -> None:
    secrets = {"SQLALCHEMY_URL", "INGEST_TRACKING_DB_URL", "OMERO_SERVICE_PASSWORD", "OMERO_SERVICE_PASSWORD_FILE"}
    assert secrets.isdisjoint(FORWARDED_NAMES)
    assert len(set(FORWARDED_NAMES)) == len(FORWARDED_NAMES)


def test_every_variable_that_wins_over_the_files_is_forwarded_to_scripts() -> None:
    assert set(models.variables()) <= set(FORWARDED_NAMES)
