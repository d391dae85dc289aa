"""``omero-worker analyses list, show, check``: what they say, and what they do not need for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tests.unit.analyses.web_server import WebServer, make_certificate
from worker.analyses import catalogue as catalogues
from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.descriptor import parse_descriptor
from worker.cli.analyses import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

CELLS = Path(__file__).parents[1] / "analyses" / "descriptors" / "bilayers" / "cells.yaml"


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMERO_WORKER_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


@pytest.fixture
def catalogue(state_dir: Path) -> Catalogue:
    cells = CatalogueEntry(
        name="cells",
        versions=("v2.10", "v2.9"),
        analysis=parse_descriptor(CELLS.read_bytes(), source="cells.yaml"),
        cluster="gpu",
        repo="https://github.com/org/cells/tree/v2.10",
        source="https://github.com/org/cells (0123456789) config.yaml",
        commit="0123456789" * 4,
        fetched_at="2026-01-02T03:04:05+00:00",
    )
    broken = CatalogueEntry("broken", (), None, problem="[red]has no descriptor.json[/red]\x1b[2J", repo="/opt/broken")
    catalogue = Catalogue((cells, broken), "2026-01-02T03:05:00+00:00", "The cluster gpu did not answer.")
    catalogues.save(catalogues.catalogue_path(state_dir), catalogue)
    return catalogue


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_list_says_where_each_is_from_and_what_is_wrong(catalogue: Catalogue) -> None:
    lines = call("list").stdout.splitlines()
    (cells,) = [line for line in lines if " cells " in line]
    for word in ("bilayers-1.0.0", "v2.10, v2.9", "gpu", "(0123456789) config.yaml", "2026-01-02 03:04:05 UTC"):
        assert word in cells
    (broken,) = [line for line in lines if " broken " in line]
    # As it stands there: neither for rich to interpret, nor for the terminal.
    assert "[red]has no descriptor.json[/red]\ufffd[2J" in broken
    assert lines[-2:] == ["As of 2026-01-02T03:05:00+00:00.", "The cluster gpu did not answer."]


def test_the_list_is_there_for_programs_too(catalogue: Catalogue) -> None:
    found = json.loads(call("list", "--json").stdout)
    assert [one["workflow"] for one in found["analyses"]] == ["cells", "broken"]
    assert found["analyses"][0]["versions"] == ["v2.10", "v2.9"]
    assert found["note"] == "The cluster gpu did not answer."


def test_without_a_list_the_reason_is_told() -> None:
    result = call("list")
    assert result.exit_code == 0
    assert "has not been made yet" in result.stdout


def test_one_is_shown_with_all_that_a_person_may_set_and_should_cite(catalogue: Catalogue) -> None:
    shown = call("show", "CELLS").stdout
    for words in (
        "Versions: v2.10, v2.9", "Cluster: gpu", "Image: example/cellcutter:2.10", "diameter", "0 (GRAY), 1 (RED)",
        "experts, optional", "Please cite: Cellcutter, https://doi.org/10.1000/cells.1, BSD 3-Clause",
        "The container gets: --dir=/data/in --add_model=",
    ):  # fmt: skip
        assert words in shown


def test_one_is_there_for_programs_too(catalogue: Catalogue) -> None:
    found = json.loads(call("show", "cells", "--json").stdout)
    assert found["workflow"] == "cells"
    assert {"id": "diameter", "default": 30.0}.items() <= found["analysis"]["parameters"][-2].items()
    assert found["example"].startswith("--dir=/data/in ")
    assert "analysis" not in json.loads(call("show", "broken", "--json").stdout)


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "worker.cli", "analyses", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder)


def test_a_name_that_is_not_there_is_answered_with_the_nearest(catalogue: Catalogue) -> None:
    result = run("show", "cell")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "There is no workflow cell.", "Did you mean cells? The cluster gpu did not answer."
    ]  # fmt: skip


class TestCheck:
    def test_a_good_one_is_shown_as_the_dialog_will(self) -> None:
        result = call("check", str(CELLS))
        assert result.exit_code == 0
        assert f"{CELLS} can be read." in result.stdout
        assert "Please cite: Cellcutter" in result.stdout
        assert "Please look at this" not in result.stdout

    def test_a_folder_may_be_given_as_one_stands_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_bytes(CELLS.read_bytes())
        result = run("check", ".", folder=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")

    def test_an_error_names_file_line_field_and_reason_on_standard_error(self, tmp_path: Path) -> None:
        file = tmp_path / "descriptor.json"
        file.write_text('{"name": "n", "schema-version": "cytomine-0.1",\n "container-image": {"image": "o/w"},\n'
                        ' "inputs": [{"id": "d",\n   "type": "Nmber"}]}')  # fmt: skip
        result = run("check", str(file))
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(f"{file}, line 4: inputs[0].type: 'Nmber' is not one of Number, ")
        found = json.loads(run("check", str(file), "--json").stdout)
        assert found["error"].startswith(f"{file}, line 4: inputs[0].type")

    def test_remarks_are_no_errors(self, tmp_path: Path) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(CELLS.read_text().replace("2.10", "latest"))
        result = call("check", str(file))
        assert result.exit_code == 0
        assert "Please look at this: The tag of its image is latest" in result.stdout
        assert len(json.loads(call("check", str(file), "--json").stdout)["remarks"]) == 1

    def test_what_is_not_there_is_said(self, tmp_path: Path) -> None:
        result = run("check", "nothing.json", folder=tmp_path)
        assert result.returncode == 1
        assert f"no descriptor to be read at {tmp_path}/nothing.json: No such file" in result.stderr

    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
        certificate = make_certificate(tmp_path)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with WebServer(certificate) as server:
            server.files["/cells.yaml"] = CELLS.read_bytes()
            yield server

    def test_a_url_is_read_anew_each_time_with_the_token_of_its_host(
        self, server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = tmp_path / "slurm-config.ini"
        config.write_text(f"[ANALYSES]\ngitlab_host={server.host}\n")
        (tmp_path / "token").write_text("s3cret\n")
        monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(config))
        monkeypatch.setenv("GITLAB_TOKEN_FILE", str(tmp_path / "token"))
        server.token = "s3cret"
        for _ in range(2):
            result = call("check", server.url("/cells.yaml"))
            assert result.exit_code == 0, result.output
        assert ["If-None-Match" in request.headers for request in server.requests] == [False, False]
        assert "s3cret" not in result.output
        server.fail("/", 500)
        assert "status 500" in run("check", server.url("/cells.yaml")).stderr

    def test_a_broken_configuration_is_no_reason_not_to_check(
        self, server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "slurm-config.ini").write_text("[SLURM\n")
        monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(tmp_path / "slurm-config.ini"))
        result = run("check", server.url("/cells.yaml"))
        assert result.returncode == 0
        assert "Without tokens for private repositories" in result.stderr


def test_looking_costs_neither_clusters_nor_databases(catalogue: Catalogue) -> None:
    program = (
        "import sys, worker.cli.main as main; sys.argv[1:] = ['analyses', 'list']\n"
        "try: main.run()\n"
        "except SystemExit: pass\n"
        "print(*sorted({'paramiko', 'omero', 'sqlalchemy', 'numpy', 'zarr', 'requests'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.splitlines()[-1] == ""
