"""``omero-worker runs report``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

from tests.unit.engine.reported import analyse, ask, facts_of
from worker.cli.main import app
from worker.engine.report.markdown import render_markdown
from worker.errors import RunNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from worker.engine.assembly import Record


class TestTheCommand:
    def invoke(self, *arguments: str) -> Any:
        return CliRunner().invoke(app, ["runs", "report", *arguments])

    def test_markdown_is_what_is_written_unless_told_otherwise(self, record: Record) -> None:
        run_id = ask(record)
        analyse(record, run_id)
        done = self.invoke(str(run_id))
        assert done.exit_code == 0, done.output
        assert done.stdout == render_markdown(facts_of(record, run_id))

    @pytest.mark.parametrize("form", ["markdown", "html", "json"])
    def test_each_form_goes_to_a_file(self, record: Record, tmp_path: Path, form: str) -> None:
        run_id = ask(record)
        output = tmp_path / "new" / "report"
        assert self.invoke(str(run_id), "--format", form, "-o", str(output)).exit_code == 0
        text = output.read_text()
        assert str(run_id) in text
        if form == "json":
            assert json.loads(text)["status"] == "running"

    def test_a_crate_is_a_folder_or_the_same_zip_each_time(self, record: Record, tmp_path: Path) -> None:
        run_id = ask(record)
        analyse(record, run_id)
        for name in ("folder", "one.zip", "two.zip"):
            assert self.invoke(str(run_id), "-f", "ro-crate", "-o", str(tmp_path / name)).exit_code == 0
        assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
        for place in (tmp_path / "folder", tmp_path / "one.zip"):
            assert ROCrate(place).mainEntity["sha256"] == "d" * 64

    def test_nothing_is_written_over(self, record: Record, tmp_path: Path) -> None:
        run_id = ask(record)
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "mine").touch()
        refused = self.invoke(str(run_id), "-f", "ro-crate", "-o", str(tmp_path / "folder"))
        assert "There is something in" in str(refused.exception)
        nowhere = self.invoke(str(run_id), "-f", "ro-crate")
        assert "Say where to write it" in str(nowhere.exception)

    def test_a_run_that_is_not_there_is_not_found(self, record: Record) -> None:
        assert isinstance(self.invoke(str(uuid4())).exception, RunNotFound)
