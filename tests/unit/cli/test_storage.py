"""``omero-worker storage`` lists what runs have left, and removes it when it is told to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from worker.cli.main import app
from worker.engine.accept import accept
from worker.engine.assembly import open_record
from worker.engine.request import parse_request
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from typer.testing import Result

    from worker.engine.assembly import Record

CONFIG = """
[SSH]
host=local:
[SLURM]
slurm_data_path=data
[MODELS]
nuclei=nuclei
nuclei_repo=https://github.com/example/W_Nuclei/tree/v1
nuclei_job=jobs/nuclei.sh
[WORKER]
keep_failed_days={days}
"""


@pytest.fixture
def record(lone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    (lone / "slurm-config.ini").write_text(CONFIG.format(days=30), encoding="utf-8")
    monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(lone / "slurm-config.ini"))
    monkeypatch.setenv("OMERO_WORKER_STATE_DIR", str(lone / "state"))
    with open_record() as opened:
        yield opened


def failed_run(record: Record, home: Path, name: str = "ada") -> UUID:
    request = {"ids": [1], "workflows": [{"name": "nuclei", "version": "v1"}]}
    person = {"user_id": len(name), "user_name": name, "group_id": 3, "group_name": "lab"}
    run_id = accept(record.tracker, parse_request({**request, **person}), record.settings)
    record.tracker.start_workflow(run_id)
    record.tracker.fail_workflow(run_id, "No.")
    folder = home / "data" / f"biomero_{run_id}"
    folder.mkdir(parents=True)
    (folder / "a.tif").write_bytes(b"x" * 10_000)
    return run_id


def command(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, ["storage", *arguments], input=typed, env={"COLUMNS": "250"})


def test_nothing_is_told_as_such(record: Record) -> None:
    assert record.settings.clusters
    assert "No run has left anything" in command().output


def test_folders_are_listed_with_sums_of_each_person(record: Record, lone: Path) -> None:
    runs = [failed_run(record, lone, name) for name in ("ada", "ada", "grace")]
    (lone / "data" / "stranger [bold]").mkdir()
    shown = command().output
    assert all(str(run_id) in shown for run_id in runs)
    assert "belongs to no run known here" in shown
    assert "stranger [bold]" in shown
    listed = json.loads(command("--json").stdout)
    assert len(listed["folders"]) == 4
    assert {row["user"]: (row["folders"], row["files"]) for row in listed["users"]} == {
        "ada": (2, 2),
        "grace": (1, 1),
        "unknown": (1, 0),
    }


def test_one_cluster_that_there_is_not_is_told(record: Record) -> None:
    assert record.settings.clusters
    result = command("--cluster", "nowhere")
    assert "There is no cluster 'nowhere'" in str(result.exception)


def test_a_cluster_that_does_not_answer_hides_no_other(record: Record, lone: Path) -> None:
    run_id = failed_run(record, lone)
    with (lone / "slurm-config.ini").open("a", encoding="utf-8") as file:
        file.write("[SSH:away]\nhost=away.invalid\n[SLURM:away]\nslurm_data_path=data\n")
    result = command("--json")
    assert result.exit_code == 1
    assert [each["run_id"] for each in json.loads(result.stdout)["folders"]] == [str(run_id)]
    assert "away: " in result.stderr


def test_removal_asks_first(record: Record, lone: Path) -> None:
    run_id = failed_run(record, lone)
    folder = lone / "data" / f"biomero_{run_id}"
    assert "a dry run: nothing was removed" in command("remove", str(run_id), "--dry-run").output
    assert command("remove", str(run_id), typed="n\n").exit_code == 1
    assert folder.exists()
    result = command("remove", str(run_id), typed="y\n")
    assert f"default:data/biomero_{run_id} (run of ada, failed; the run has failed, and can be retried" in result.output
    assert not folder.exists()
    assert "(command line)" in record.reader.events(run_id)[-1].data["data"]["by"]


def test_what_is_not_there_cannot_be_removed(record: Record, lone: Path) -> None:
    failed_run(record, lone)
    result = command("remove", "biomero", "--yes")
    assert isinstance(result.exception, RequestError)
    assert "no data of 'biomero'" in str(result.exception)


def test_cleaning_does_what_the_service_would(record: Record, lone: Path) -> None:
    run_id = failed_run(record, lone)
    assert "There is nothing to remove." in command("clean", "--yes").output
    (lone / "slurm-config.ini").write_text(CONFIG.format(days=0), encoding="utf-8")
    assert str(run_id) in command("clean", "--dry-run").output
    assert "Removed 1 of 1 folders." in command("clean", "--yes").output
    assert list((lone / "data").iterdir()) == []
