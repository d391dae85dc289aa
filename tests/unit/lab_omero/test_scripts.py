"""Official scripts as files; running them is for the system tests, which have a Processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero
import omero.model
import pytest

from tests.lab.omero.private import PrivateOmero

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "import omero.scripts\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scripts")
    (path / "__workflows").mkdir()
    (path / "__workflows" / "Run.py").write_text(TEXT, encoding="utf-8")
    (path / "__init__.py").touch()
    (path / "__pycache__").mkdir()
    (path / "__pycache__" / "Run.py").write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def root(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = PrivateOmero(tmp_path_factory.mktemp("omero"), scripts=directory)
    server.start()
    with server.login("root") as gateway:
        yield gateway
    server.kill()


def paths(gateway: Any) -> list[str]:
    return [script.path.val + script.name.val for script in gateway.getScriptService().getScripts()]


def test_the_files_of_a_directory_are_official_scripts(root: Any) -> None:
    assert paths(root) == ["/biomero/__workflows/Run.py"]
    script_id = root.getScriptService().getScriptID("biomero/__workflows/Run.py")
    assert root.getScriptService().getScriptText(script_id) == TEXT


def test_new_files_are_found_and_changed_ones_get_a_new_id(root: Any, directory: Path) -> None:
    service, file = root.getScriptService(), directory / "New.py"
    file.write_text(TEXT, encoding="utf-8")
    assert "/biomero/New.py" in paths(root)
    before = service.getScriptID("/biomero/New.py")
    file.write_text(TEXT + "# changed\n", encoding="utf-8")
    after = service.getScriptID("/biomero/New.py")
    assert after > before
    with pytest.raises(omero.ApiUsageException, match=f"No script with id {before}"):
        service.getScriptText(before)
    file.unlink()
    assert "/biomero/New.py" not in paths(root)


def test_files_of_a_working_tree_are_not_touched(root: Any, directory: Path) -> None:
    service = root.getScriptService()
    script_id = service.getScriptID("/biomero/__workflows/Run.py")
    with pytest.raises(omero.ApiUsageException, match="directory of others"):
        service.deleteScript(script_id)
    with pytest.raises(omero.ApiUsageException, match="directory of others"):
        service.editScript(omero.model.OriginalFileI(script_id, False), "")
    assert (directory / "__workflows" / "Run.py").read_text(encoding="utf-8") == TEXT


def test_uploaded_scripts_keep_their_id_when_they_are_edited(root: Any) -> None:
    service = root.getScriptService()
    script_id = service.uploadOfficialScript("/checks/Uploaded.py", TEXT)
    service.editScript(omero.model.OriginalFileI(script_id, False), "# new\n")
    assert service.getScriptID("/checks/Uploaded.py") == script_id
    assert service.getScriptText(script_id) == "# new\n"
    with pytest.raises(omero.ApiUsageException):
        service.uploadOfficialScript("../outside.py", TEXT)
    service.deleteScript(script_id)
    assert service.getScriptID("/checks/Uploaded.py") == -1


def test_without_a_processor_no_script_runs(root: Any) -> None:
    service = root.getScriptService()
    script_id = service.getScriptID("/biomero/__workflows/Run.py")
    assert not service.canRunScript(script_id)
    with pytest.raises(omero.NoProcessorAvailable):
        root.c.sf.sharedResources().acquireProcessor(omero.model.ScriptJobI(), 0)
