"""The script dialogs have the fields that `tests.contract.dialogs` names, parsed as OMERO does it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import omero
import pytest
from omero.rtypes import RBoolI, RFloatI, RIntI, RLongI, RStringI, rbool, rlist, rlong, rstring, unwrap, wrap
from omero.scripts import parse_file, validate_inputs

from tests.contract.dialogs import BATCHED, FIXED, NO, OTHERS, TRANSFERS, Row
from worker.analyses import catalogue as catalogues
from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.model import Analysis, Parameter

SCRIPTS = Path(__file__).parents[2] / "scripts"

CELLPOSE = Analysis(
    "Cellpose",
    "Finds cells.",
    "org/w_cellpose",
    "cytomine-0.1",
    (
        Parameter("use_gpu", "GPU", "boolean", default=False, optional=True, flag="--use_gpu"),
        Parameter("diameter", "Diameter", "integer", default=30, optional=True, flag="--diameter"),
        Parameter("prob_threshold", "Threshold", "float", default=0.5, optional=False, flag="--prob_threshold"),
        Parameter(
            "cp_model", "Model", "string", default="nuclei", optional=True, flag="--m", choices=("nuclei", "cyto")
        ),
        Parameter("cytomine_host", "", "string", default="", optional=True, flag="--h", set_by_server=True),
    ),
)
WORKFLOWS: list[tuple[str, type, str, object, list[str] | None]] = [
    ("cellpose", RBoolI, "03", False, None),
    ("cellpose_Version", RStringI, "03.0", None, ["v1.10", "v1.9"]),
    ("cellpose_|_use_gpu", RBoolI, "03.01", False, None),
    ("cellpose_|_diameter", RIntI, "03.02", 30, None),
    ("cellpose_|_prob_threshold", RFloatI, "03.03", 0.5, None),
    ("cellpose_|_cp_model", RStringI, "03.04", "nuclei", ["nuclei", "cyto"]),
    ("stardist", RBoolI, "04", False, None),
    ("stardist_Version", RStringI, "04.0", None, ["v2"]),
]


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What OMERO learns of the scripts, parsed as OMERO does it."""
    state_dir = tmp_path_factory.mktemp("state")
    entries = (
        CatalogueEntry("cellpose", ("v1.10", "v1.9"), CELLPOSE),
        CatalogueEntry("stardist", ("v2",), None, "Its repository does not answer."),
    )
    catalogues.save(catalogues.catalogue_path(state_dir), Catalogue(entries, "2026-01-02T03:04:05+00:00"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMERO_WORKER_STATE_DIR", str(state_dir))
        # omero-py leaves the client of a script that it parses to the end of the process.
        clients: list[Any] = []
        make = omero.client

        def made(*args: Any, **options: Any) -> Any:
            clients.append(make(*args, **options))
            return clients[-1]

        patch.setattr(omero, "client", made)
        try:
            return {path.name: parse_file(str(path)) for path in sorted(SCRIPTS.glob("*/*.py"))}
        finally:
            for client in clients:
                client.closeSession()


@pytest.fixture(scope="module")
def params(parsed: dict[str, Any]) -> Any:
    return parsed["SLURM_Run_Workflow.py"]


@pytest.fixture(scope="module")
def batched(parsed: dict[str, Any]) -> Any:
    return parsed["SLURM_Run_Workflow_Batched.py"]


def test_the_titles_are_those_that_the_plugin_looks_for(params: Any, batched: Any) -> None:
    assert params.name == "Slurm Workflow"
    assert batched.name == "Slurm Workflow (Batched)"


def test_no_dialog_is_ever_cached(parsed: dict[str, Any]) -> None:
    for params in parsed.values():
        assert params.namespaces == ["openmicroscopy.org/omero/scripts/job/dynamic"]


@pytest.mark.parametrize(("name", "kind", "grouping", "optional", "default", "values"), FIXED)
def test_a_fixed_field_is_as_it_ever_was(
    params: Any, name: str, kind: type, grouping: str, optional: bool, default: object, values: list[str] | None
) -> None:
    check_fixed(params.inputs[name], kind, grouping, optional, default, values)


@pytest.mark.parametrize(("name", "kind", "grouping", "optional", "default", "values"), BATCHED)
def test_a_fixed_field_of_the_batched_dialog_is_as_it_ever_was(
    batched: Any, name: str, kind: type, grouping: str, optional: bool, default: object, values: list[str] | None
) -> None:
    check_fixed(batched.inputs[name], kind, grouping, optional, default, values)


@pytest.mark.parametrize(
    ("script", "row"), [(script, row) for script, (_, _, rows) in TRANSFERS.items() for row in rows], ids=str
)
def test_a_field_of_a_script_that_moves_data_is_as_it_ever_was(parsed: dict[str, Any], script: str, row: Row) -> None:
    name, kind, grouping, optional, default, values = row
    check_fixed(parsed[script].inputs[name], kind, grouping, optional, default, values)


@pytest.mark.parametrize("script", TRANSFERS)
def test_a_script_that_moves_data_has_its_place_and_title_and_no_other_fields(
    parsed: dict[str, Any], script: str
) -> None:
    folder, title, rows = TRANSFERS[script]
    assert (SCRIPTS / folder / script).is_file()
    assert parsed[script].name == title
    named_by_the_time = {"Folder_Name"} if script == "_SLURM_Image_Transfer.py" else set()
    assert set(parsed[script].inputs) == {row[0] for row in rows} | named_by_the_time


def test_images_go_into_a_folder_that_is_named_after_the_time(parsed: dict[str, Any]) -> None:
    field = parsed["_SLURM_Image_Transfer.py"].inputs["Folder_Name"]
    assert (type(field.prototype), field.grouping, field.optional, field.useDefault) == (RStringI, "3", True, True)
    name = unwrap(field.prototype)
    assert name.startswith("SLURM_IMAGES_")
    assert abs(int(name.removeprefix("SLURM_IMAGES_")) - time.time()) < 600


def test_sections_count_from_1(parsed: dict[str, Any]) -> None:
    numbers = [field for field in parsed["_SLURM_Image_Transfer.py"].inputs.values() if type(field.prototype) is RIntI]
    assert [unwrap(field.min) for field in numbers] == [1] * 6


def test_channel_names_are_a_list_of_texts(parsed: dict[str, Any]) -> None:
    names = parsed["_SLURM_Image_Transfer.py"].inputs["Channel_Names"]
    assert [type(item) for item in names.prototype.val] == [RStringI]


def check_fixed(
    field: Any, kind: type, grouping: str, optional: bool, default: object, values: list[str] | None
) -> None:
    assert type(field.prototype) is kind
    assert (field.grouping, field.optional) == (grouping, optional)
    assert (unwrap(field.prototype) if field.useDefault else None) == default
    assert unwrap(field.values) == values


@pytest.mark.parametrize(("name", "kind", "grouping", "default", "values"), WORKFLOWS)
def test_a_field_of_a_workflow_is_as_it_ever_was(
    params: Any, name: str, kind: type, grouping: str, default: object, values: list[str] | None
) -> None:
    field = params.inputs[name]
    assert type(field.prototype) is kind
    assert (field.grouping, field.optional) == (grouping, True)
    assert (unwrap(field.prototype) if field.useDefault else None) == default
    assert unwrap(field.values) == values


def test_there_are_no_other_fields(params: Any, batched: Any) -> None:
    assert set(params.inputs) == {row[0] for row in FIXED} | {row[0] for row in WORKFLOWS}
    assert set(batched.inputs) == {row[0] for row in BATCHED} | {row[0] for row in WORKFLOWS}


def test_fields_of_workflows_in_the_batched_dialog_are_demanded_where_their_descriptor_does(
    params: Any, batched: Any
) -> None:
    demanded = [name for name, *_ in WORKFLOWS if not batched.inputs[name].optional]
    assert demanded == ["cellpose_|_prob_threshold"]
    for name, *_ in WORKFLOWS:
        one, other = params.inputs[name], batched.inputs[name]
        assert (type(one.prototype), unwrap(one.prototype), one.grouping) == (
            type(other.prototype),
            unwrap(other.prototype),
            other.grouping,
        )


def test_ids_are_a_list_of_longs(params: Any) -> None:
    assert [type(item) for item in params.inputs["IDs"].prototype.val] == [RLongI]


def test_omero_takes_what_the_plugin_sends(params: Any) -> None:
    sent = {
        "cellpose": rbool(True),
        "cellpose_Version": rstring("v1.10"),
        "IDs": rlist([rlong(1), rlong(2)]),
        "Data_Type": rstring("Image"),
        "E-mail": rbool(False),
        "Use_ZARR_Format": rbool(False),
        "Select how to import your results (one or more)": rbool(True),
        "1) Zip attachment to parent": rbool(True),
        "2) Attach to original images": rbool(False),
        "4) Upload result CSVs as OMERO tables": rbool(True),
        "3a) Import into NEW Dataset": rstring("Cells"),
        "3c) Rename the imported images": rstring(NO),
        "3b) Allow duplicate dataset (name)?": rbool(False),
        "cellpose_|_use_gpu": wrap(True),
        "cellpose_|_diameter": wrap(30),
        "cellpose_|_prob_threshold": wrap(0.5),
        "cellpose_|_cp_model": wrap("cyto"),
    }
    inputs = {name: field.prototype for name, field in params.inputs.items() if not field.optional and field.useDefault}
    assert validate_inputs(params, {**inputs, **sent}) == ""


@pytest.mark.parametrize("script", OTHERS)
def test_another_dialog_is_as_it_ever_was(parsed: dict[str, Any], script: str) -> None:
    title, rows = OTHERS[script]
    assert parsed[script].name == title
    assert set(parsed[script].inputs) == {row[0] for row in rows}
    for name, kind, grouping, optional, default in rows:
        check_fixed(parsed[script].inputs[name], kind, grouping, optional, default, None)


def test_no_script_runs_what_somebody_types() -> None:
    """The reference had one; deployments delete it."""
    assert not list(SCRIPTS.glob("*/Example_Minimal_Slurm_Script.py"))
