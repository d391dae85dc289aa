"""The list of workflows on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from worker.analyses import catalogue
from worker.analyses.catalogue import Catalogue, CatalogueEntry, Choices
from worker.analyses.model import Analysis, Citation, HiddenArgument, Parameter, Resources
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

FULL = Catalogue(
    entries=(
        CatalogueEntry(
            name="nuclei",
            versions=("v2.0", "v1.10", "latest"),
            analysis=Analysis(
                name="Núcleos",
                description="two\nlines",
                image="org/w",
                schema_version="cytomine-0.1",
                parameters=(
                    Parameter(
                        "d", "Diameter", "float", 30.0, False, "--d", "D", "in μm", ("30.0", "60.0"), False, 0, 99.5
                    ),
                    Parameter("n", "Number", "integer", 3, True, "--n"),
                    Parameter("g", "GPU", "boolean", False, False, "--g", set_by_server=True),
                    Parameter(
                        "m",
                        "Model",
                        "string",
                        None,
                        True,
                        "--m",
                        choices=("a", "b"),
                        choice_labels=("A", "B"),
                        mode="advanced",
                        cli_order=-1,
                        append_value=False,
                        hidden=True,
                    ),
                    Parameter("i", "Images", "string", None, False, "", set_by_server=True, folder="input"),
                    Parameter(
                        "f",
                        "File",
                        "string",
                        None,
                        True,
                        "--f",
                        file_attachment=True,
                        formats=("csv", "ome.tif"),
                        file_count="multiple",
                    ),
                ),
                style="bilayers",
                command="python -m nuclei",
                hidden_arguments=(HiddenArgument("--png", "True", append_value=False, cli_order=3),),
                input_folder="/in",
                output_folder="/out",
                resources=Resources(gpu=True, cores=2, memory_mib=4096),
                citations=(Citation("Nuclei", "10.1000/1", "MIT", "finds nuclei"), Citation("Other")),
                requires_zarr=True,
                requires_plate=True,
            ),
        ),
        CatalogueEntry(
            name="broken",
            versions=(),
            analysis=None,
            problem="has no descriptor.json",
            choices=Choices(28800, 65536, ("cpu", "gpu"), gpu=True),
        ),
    ),
    refreshed_at="2025-01-01T00:00:00Z",
    note="The cluster does not answer.",
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "catalogue.json"
    catalogue.save(path, FULL)
    loaded = catalogue.load(path)
    assert loaded == FULL
    defaults = [
        parameter.default for entry in loaded.entries if entry.analysis for parameter in entry.analysis.parameters
    ]
    assert [type(default) for default in defaults] == [float, int, bool, *[type(None)] * 3]
    assert [file.name for file in path.parent.iterdir()] == ["catalogue.json"]


def test_an_entry_is_found_in_whatever_case() -> None:
    assert FULL.entry("NUCLEI") is FULL.entries[0]
    assert FULL.entry("other") is None


def test_a_missing_file_is_an_empty_catalogue_with_a_note(tmp_path: Path) -> None:
    loaded = catalogue.load(tmp_path / "missing.json")
    assert loaded.entries == ()
    assert "has not been made yet" in loaded.note


def test_a_folder_in_its_place_is_an_empty_catalogue_with_a_note(tmp_path: Path) -> None:
    assert "cannot be read" in catalogue.load(tmp_path).note


def test_the_catalogue_of_an_earlier_version_counts_as_not_made_yet(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.json"
    path.write_text('{"format": 1, "entries": [{"name": "nuclei"}]}')
    loaded = catalogue.load(path)
    assert loaded.entries == ()
    assert "has not been made yet" in loaded.note


def damaged() -> list[bytes]:
    good = {"format": catalogue.FORMAT, "refreshed_at": "", "note": "", "entries": []}
    entry: dict[str, object] = {"name": "a", "versions": [], "analysis": None, "problem": ""}
    documents: list[object] = [
        {}, [], 1, None, good | {"format": 99}, good | {"format": True},
        good | {"note": None}, good | {"entries": {}}, good | {"entries": [1]},
        good | {"entries": [entry | {"versions": [1]}]}, good | {"entries": [entry | {"analysis": {"name": "x"}}]},
    ]  # fmt: skip
    return [b"", b"{", b"\xff", b"[" * 100_000, *(json.dumps(document).encode() for document in documents)]


@pytest.mark.parametrize("content", damaged())
def test_a_damaged_file_is_an_empty_catalogue_with_a_note(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalogue.json"
    path.write_bytes(content)
    loaded = catalogue.load(path)
    assert loaded.entries == ()
    assert f"{path} cannot be read" in loaded.note


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot be written.*OMERO_WORKER_STATE_DIR"):
        catalogue.save(tmp_path / "file" / "catalogue.json", FULL)


def test_a_reader_that_has_begun_ends_with_the_old_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.json"
    catalogue.save(path, FULL)
    with path.open("rb") as reader:
        begin = reader.read(10)
        catalogue.save(path, Catalogue(note="short"))
        document = json.loads(begin + reader.read())
    assert document["note"] == FULL.note
    assert catalogue.load(path) == Catalogue(note="short")


def test_a_reader_sees_the_old_or_the_new_catalogue_never_half_of_one(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.json"
    short = Catalogue(note="short")
    catalogue.save(path, short)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            catalogue.save(path, FULL)
            catalogue.save(path, short)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(catalogue.load(path) in {FULL, short} for _ in range(200))
    finally:
        stop.set()
        writer.join()


def test_loading_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import worker.analyses.catalogue;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == ["worker"]


def test_registered_converters_are_kept_and_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.json"
    converting = Catalogue(converters=("zarr_to_tiff", "czi_to_zarr"))
    catalogue.save(path, converting)
    assert catalogue.load(path) == converting
    record = json.loads(path.read_bytes())
    del record["converters"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert catalogue.load(path) == Catalogue()
