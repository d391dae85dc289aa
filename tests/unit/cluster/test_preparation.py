"""Folders and the repository of job scripts, on this machine."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from worker.cluster.preparation import clone_scripts, make_folders

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.local import LocalTransport
    from worker.cluster.report import Item


class TestFolders:
    def test_they_are_made_once(self, here: LocalTransport, tmp_path: Path) -> None:
        folders = {"data": "~/my scratch/$(data)", "images": str(tmp_path / "images")}
        assert [item.state for item in make_folders(here, folders)] == ["changed", "changed"]
        assert (tmp_path / "my scratch" / "$(data)").is_dir()
        assert [item.state for item in make_folders(here, folders)] == ["ok", "ok"]
        assert not list(tmp_path.rglob(".omero-worker-probe*"))

    def test_a_dry_run_makes_none(self, here: LocalTransport, tmp_path: Path) -> None:
        (item,) = make_folders(here, {"data": "scratch/data"}, dry_run=True)
        assert (item.state, item.detail) == ("changed", "scratch/data would be made")
        assert not (tmp_path / "scratch").exists()

    def test_one_that_cannot_be_made_does_not_keep_the_others_from_it(
        self, here: LocalTransport, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        bad, good = make_folders(here, {"data": "file/data", "images": "images"})
        assert (bad.state, good.state) == ("failed", "changed")
        assert "Not a directory" in bad.detail
        assert bad.remedy

    def test_one_to_which_nothing_can_be_written_has_failed(self, here: LocalTransport) -> None:
        (item,) = make_folders(here, {"data": "/proc/self"})
        assert item.state == "failed"
        assert "may not write there" in item.detail


class TestScriptRepository:
    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        """A repository with one commit."""
        folder = tmp_path / "origin"
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
        commit(folder, "one")
        return folder

    def clone(self, here: LocalTransport, repository: Path | str, *, dry_run: bool = False) -> Item:
        return clone_scripts(here, str(repository), "~/slurm scripts/", dry_run=dry_run)

    def test_it_is_cloned_then_followed(self, here: LocalTransport, repository: Path, tmp_path: Path) -> None:
        assert self.clone(here, repository, dry_run=True).state == "changed"
        assert not (tmp_path / "slurm scripts").exists()
        assert self.clone(here, repository).state == "changed"
        assert (tmp_path / "slurm scripts" / "jobs" / "one.sh").exists()
        assert self.clone(here, repository).state == "ok"
        commit(repository, "two")
        item = self.clone(here, repository)
        assert item.state == "changed"
        assert " to " in item.detail
        assert (tmp_path / "slurm scripts" / "jobs" / "two.sh").exists()

    def test_an_empty_folder_is_filled(self, here: LocalTransport, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "slurm scripts").mkdir()
        assert self.clone(here, repository).state == "changed"

    def test_a_folder_of_somebody_else_is_left_as_it_is(
        self, here: LocalTransport, repository: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "slurm scripts").mkdir()
        (tmp_path / "slurm scripts" / "thesis.tex").write_text("years of work")
        item = self.clone(here, repository)
        assert item.state == "failed"
        assert "left as it is" in item.detail
        assert [path.name for path in (tmp_path / "slurm scripts").iterdir()] == ["thesis.tex"]

    def test_a_clone_of_another_repository_is_left_as_it_is(
        self, here: LocalTransport, repository: Path, tmp_path: Path
    ) -> None:
        self.clone(here, repository)
        item = self.clone(here, tmp_path / "another")
        assert item.state == "failed"
        assert f"a clone of {repository}" in item.detail

    def test_changes_that_somebody_made_there_are_not_thrown_away(
        self, here: LocalTransport, repository: Path, tmp_path: Path
    ) -> None:
        self.clone(here, repository)
        script = tmp_path / "slurm scripts" / "jobs" / "one.sh"
        script.write_text("mended by hand")
        commit(repository, "one", "other text")
        item = self.clone(here, repository)
        assert item.state == "failed"
        assert "overwritten" in item.detail
        assert script.read_text() == "mended by hand"

    def test_one_that_is_not_there_is_told_in_gits_words(self, here: LocalTransport, tmp_path: Path) -> None:
        item = self.clone(here, tmp_path / "nowhere")
        assert item.state == "failed"
        assert "does not" in item.detail
        assert "deploy key" in item.remedy

    def test_a_password_never_reaches_a_command_line(self, here: LocalTransport, tmp_path: Path) -> None:
        item = self.clone(here, "https://me:secret@example.org/scripts.git")
        assert item.state == "failed"
        assert "secret" not in item.detail + item.remedy

    def test_two_at_once_do_not_collide(self, here: LocalTransport, repository: Path) -> None:
        with ThreadPoolExecutor(2) as executor:
            items = list(executor.map(lambda _: self.clone(here, repository), range(2)))
        assert sorted(item.state for item in items) == ["changed", "ok"]


def commit(repository: Path, name: str, text: str = "") -> None:
    script = repository / "jobs" / f"{name}.sh"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/bash\n{text}\n")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", name], check=True)
