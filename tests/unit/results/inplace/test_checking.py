"""Whether results can be imported in place, before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from tests.clusters import settings_with
from worker.cli import check, serve
from worker.engine.accept import accept
from worker.engine.request import parse_request
from worker.errors import ImporterUnavailable, SettingsError, WorkerError
from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker
from worker.results.inplace.checking import check_group, check_in_place, examine_importer
from worker.results.inplace.orders import PENDING, imports, preprocessing
from worker.settings.environment import WorkerEnvironment, read_environment
from worker.settings.importer import ImporterSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """The importer's database."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'orders.sqlite'}")
    preprocessing.create(engine)
    imports.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def importer(tmp_path: Path, engine: sa.Engine) -> ImporterSettings:
    base_dir = tmp_path / "data"
    base_dir.mkdir()
    return ImporterSettings(tmp_path / "settings.yml", base_dir, SecretStr(str(engine.url)))


@pytest.fixture
def environment(importer: ImporterSettings, tmp_path: Path) -> WorkerEnvironment:
    importer.file.write_text(f"base_dir: {importer.base_dir}\n")
    return read_environment(
        {
            "IMPORTER_ENABLED": "true",
            "IMPORTER_CONFIG_PATH": str(importer.file),
            "INGEST_TRACKING_DB_URL": importer.database_url.get_secret_value(),
            "OMERO_BIOMERO_CONFIG_FILE": str(tmp_path / "biomero-config.json"),
            "OMERO_BIOMERO_GROUP_MAPPINGS_FILE": str(tmp_path / "group-mappings.json"),
            "OMERO_WORKER_STATE_DIR": str(tmp_path),
        }
    )


def test_a_group_whose_results_can_be_imported_is_told_its_folder(
    importer: ImporterSettings, environment: WorkerEnvironment
) -> None:
    assert check_in_place(importer, "team-a") == importer.base_dir / "team-a"
    assert check_group(environment, "team-a", 3) == importer.base_dir / "team-a"
    assert list(importer.base_dir.iterdir()) == [], "looking leaves nothing behind"


def run_of(group: str, *, in_place: bool) -> dict[str, object]:
    return {
        "ids": [1],
        "workflows": [{"name": "nuclei", "version": "v1"}],
        "output": {"new_dataset": "results"},
        "in_place": in_place,
        "user_id": 2,
        "user_name": "ada",
        "group_id": 3,
        "group_name": group,
    }


def test_a_run_is_not_accepted_if_its_results_could_not_be_brought_home(
    importer: ImporterSettings, tmp_path: Path
) -> None:
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        tracker, settings = WorkflowTracker(database), settings_with("nuclei")

        def start(group: str, *, in_place: bool = True) -> None:
            accept(tracker, parse_request(run_of(group, in_place=in_place)), settings, importer=lambda: importer)

        with pytest.raises(SettingsError, match="name of group"):
            start("../other")
        (importer.base_dir / "team-b").write_text("no folder")
        with pytest.raises(SettingsError, match="may not write"):
            start("team-b")
        assert RunReader(database).list_runs() == []

        start("team-b", in_place=False)
        start("team-a")
        names = [tracker.task(tracker.run(row.run_id).tasks[2]).task_name for row in RunReader(database).list_runs()]
        assert sorted(names) == ["SLURM_Get_Results.py", "SLURM_Import_Results.py"]


def test_a_check_says_where_orders_and_results_go(environment: WorkerEnvironment) -> None:
    (item,) = check._importer(environment)

    assert (item.what, item.state) == ("importer", "ok")
    assert "orders.sqlite" in item.detail
    assert str(examine_importer(environment).settings.base_dir) in item.detail


def test_a_check_warns_of_mappings_and_of_an_importer_that_is_down(
    environment: WorkerEnvironment, engine: sa.Engine, tmp_path: Path
) -> None:
    (tmp_path / "group-mappings.json").write_text('{"3": {"folder": "../x", "groupName": "Cells"}}')
    row = {"group_name": "g", "user_name": "u", "destination_id": "1", "destination_type": "Dataset", "files": "[]"}
    with engine.begin() as connection:
        hour_ago = sa.func.datetime("now", "-1 hour")
        for number in range(2):
            values = {**row, "stage": PENDING, "uuid": str(number), "timestamp": hour_ago}
            connection.execute(sa.insert(imports).values(**values))

    items = list(check._importer(environment))

    assert [item.state for item in items] == ["ok", "warning", "warning"]
    assert "climb" in items[1].detail
    assert "2 orders wait, the oldest for 60 minutes" in items[2].detail


@pytest.mark.parametrize("missing", ["settings", "storage", "table", "database"])
def test_what_is_missing_is_said_by_check_and_by_serve(
    environment: WorkerEnvironment,
    importer: ImporterSettings,
    engine: sa.Engine,
    missing: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error: type[WorkerError] = SettingsError
    match missing:
        case "settings":
            importer.file.unlink()
        case "storage":
            importer.base_dir.rmdir()
        case "table":
            imports.drop(engine)
        case "database":
            error = ImporterUnavailable
            url = SecretStr("postgresql+psycopg2://u:topsecret@127.0.0.1:1/d")
            environment = environment.model_copy(update={"ingest_tracking_db_url": url})
    with pytest.raises(error):
        examine_importer(environment)

    (item,) = check._guarded("importer", lambda: check._importer(environment))
    serve._look_at_importer(environment)

    assert (item.state, bool(item.remedy)) == ("failed", True)
    assert "topsecret" not in f"{item}{capsys.readouterr()}"
