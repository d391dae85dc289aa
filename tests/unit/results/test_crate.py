"""RO-Crates: read by another library, and held against what the profiles demand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from rocrate.rocrate import ROCrate

from worker.results.actions import Action, Crate, CrateFile, Tool, action_of, descriptor_file, software_of
from worker.results.crate import METADATA, crate_graph, render_crate
from worker.results.model import Cited, CreatedObject, Provenance, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTOR = '{"name": "Cell Pose"}'
PROVENANCE = Provenance(
    run_id="11111111-2222-3333-4444-555555555555",
    task_id="66666666-7777-8888-9999-000000000000",
    job_id=42,
    workflow="cellpose",
    version="v1.3",
    parameters={"diameter": 30, "net": "", "use gpu": False, "threshold": 0.5},
    defaults=("net", "threshold"),
    user_name="alice",
    group_name="lab",
    started="2026-01-02T03:04:05+00:00",
    modified="2026-01-02T03:07:00+00:00",
    command="sbatch --parsable job.sh",
    environment={"DIAMETER": "30", "GPU_FLAG": ""},
    worker_version="0.1",
    slurm_version="slurm 24.11.5",
    runtime_version="apptainer version 1.4.5",
    image_sha256="1" * 64,
    image_source="docker://ghcr.io/org/w_cellpose:v1.3",
    job_started="2026-01-02T03:05:00Z",
    job_ended="2026-01-02T03:06:00Z",
    analysis_name="Cell Pose",
    citations=(Cited("Cellpose", "10.1038/s41592-020-01018-x", "BSD-3-Clause"), Cited("another tool")),
    descriptor_schema="cytomine-0.1",
    descriptor_source="https://git.example.org/org/w_cellpose (v1.3 0123) descriptor.json",
    descriptor_path="descriptor.json",
    descriptor_text=DESCRIPTOR,
    descriptor_sha256=hashlib.sha256(DESCRIPTOR.encode()).hexdigest(),
)
SOURCES = (
    SourceFile("a b.tif", "Image", 7, 7, "a b"),
    SourceFile("c_0.tif", "Image", 8, 8, "c"),
    SourceFile("c_1.tif", "Image", 8, 8, "c"),
)
OUTPUTS = (
    CrateFile("masks/a b.tif", 3, "a" * 64),
    CrateFile("größe #1?.csv", 4, "b" * 64),
    CrateFile("l.zarr/0/0", 5, "c" * 64),
    CrateFile("l.zarr/.zattrs", 6, "d" * 64),
)


def crate(*actions: Action, holds_outputs: bool = False) -> Crate:
    return Crate("Results", "What was done.", PROVENANCE.job_ended, actions, (), holds_outputs, software_of(PROVENANCE))


def analysed(**changes: Any) -> Action:
    objects = (CreatedObject("Image", 99, "a b mask"), CreatedObject("FileAnnotation", 5, "42_out.zip"))
    return dataclasses.replace(action_of(PROVENANCE, sources=SOURCES, outputs=OUTPUTS, objects=objects), **changes)


def entities(crate: Crate) -> dict[str, dict[str, Any]]:
    graph = crate_graph(crate)["@graph"]
    found = {entity["@id"]: entity for entity in graph}
    assert len(found) == len(graph), "an id is there twice"
    return found


def references(value: Any) -> set[str]:
    """Every id that is referred to."""
    if isinstance(value, list):
        return {each for item in value for each in references(item)}
    if isinstance(value, dict):
        own = {value["@id"]} if value.keys() == {"@id"} else set()
        return own | {each for item in value.values() for each in references(item)}
    return set()


def of_type(found: dict[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found.values() if kind in (each["@type"], *each["@type"])]


KINDS = {
    "an analysis": crate(analysed()),
    "its zip": crate(analysed(), holds_outputs=True),
    "one that failed": crate(analysed(status="failed", error="no memory")),
    "one without descriptor": crate(action_of(dataclasses.replace(PROVENANCE, descriptor_text=""))),
    "two analyses": crate(analysed(), analysed(key="other", tool=Tool("stardist", "v2"))),
    "two batches": crate(analysed(), analysed(key="batch 2")),
    "nothing": crate(),
}


@pytest.fixture(params=KINDS)
def any_crate(request: pytest.FixtureRequest) -> Crate:
    return KINDS[request.param]


def test_every_id_that_is_referred_to_is_there(any_crate: Crate) -> None:
    found = entities(any_crate)
    # The specification itself is no entity of the crate.
    outside = {"https://w3id.org/ro/crate/1.1"}
    assert references(list(found.values())) - outside <= found.keys()


def test_the_root_says_what_a_crate_must(any_crate: Crate) -> None:
    found = entities(any_crate)
    about, root = found[METADATA], found["./"]
    assert (about["@type"], about["about"]) == ("CreativeWork", {"@id": "./"})
    assert "https://w3id.org/ro/crate/1.1" in references(about["conformsTo"])
    assert root["@type"] == "Dataset"
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    profiles = references(root["conformsTo"])
    assert "https://w3id.org/ro/wfrun/process/0.5" in profiles
    assert all(found[profile]["@type"] == "CreativeWork" for profile in profiles)


def test_every_action_says_what_a_process_run_crate_must(any_crate: Crate) -> None:
    found = entities(any_crate)
    for action in of_type(found, "CreateAction"):
        tool = found[action["instrument"]["@id"]]
        assert tool["@type"] == "SoftwareApplication" or "ComputationalWorkflow" in tool["@type"]
        assert action["@id"] in references(found["./"]["mentions"])
        assert ("error" in action) == (action["actionStatus"] == "http://schema.org/FailedActionStatus")


def test_one_analysis_with_its_descriptor_is_a_workflow_run_crate() -> None:
    found = entities(crate(analysed()))
    root = found["./"]
    workflow_run = {"https://w3id.org/ro/wfrun/workflow/0.5", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}
    assert workflow_run <= references(root["conformsTo"])
    main = found[root["mainEntity"]["@id"]]
    assert main["@type"] == ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    assert references(root["mainEntity"]) <= references(root["hasPart"])
    assert found[main["programmingLanguage"]["@id"]]["@type"] == "ComputerLanguage"
    (action,) = of_type(found, "CreateAction")
    assert action["instrument"] == root["mainEntity"]
    formal = [found[each["@id"]] for each in main["input"]]
    assert [each["name"] for each in formal] == ["diameter", "net", "use gpu", "threshold"]
    for each in formal:
        assert each["@type"] == "FormalParameter"
        value = found[each["workExample"]["@id"]]
        assert value["exampleOfWork"] == {"@id": each["@id"]}
        assert {"@id": value["@id"]} in action["object"]


@pytest.mark.parametrize("kind", ["one without descriptor", "two analyses", "nothing"])
def test_what_has_no_main_workflow_claims_none(kind: str) -> None:
    root = entities(KINDS[kind])["./"]
    assert "mainEntity" not in root
    assert references(root["conformsTo"]) == {"https://w3id.org/ro/wfrun/process/0.5"}


def test_values_keep_their_types_and_defaults_are_marked() -> None:
    found = entities(crate(analysed()))
    values = {each["name"]: each for each in of_type(found, "PropertyValue") if "-value-" in each["@id"]}
    assert {name: each["value"] for name, each in values.items()} == PROVENANCE.parameters
    assert {name for name, each in values.items() if "description" in each} == {"net", "threshold"}
    kinds = {each["name"]: each["additionalType"] for each in of_type(found, "FormalParameter")}
    assert kinds == {"diameter": "Integer", "net": "Text", "use gpu": "Boolean", "threshold": "Float"}


def test_the_image_is_named_as_its_registry_does_and_by_its_digest() -> None:
    (image,) = of_type(entities(crate(analysed())), "ContainerImage")
    assert (image["registry"], image["name"], image["tag"]) == ("ghcr.io", "org/w_cellpose", "v1.3")
    assert image["sha256"] == "1" * 64


@pytest.mark.parametrize(
    ("source", "registry", "name", "tag"),
    [
        ("docker://org/w:v1", "docker.io", "org/w", "v1"),
        ("docker://w", "docker.io", "w", None),
        ("oras://host:5000/a/b@sha256:0123", "host:5000", "a/b", "sha256:0123"),
        ("", None, "not known", None),
    ],
)
def test_addresses_of_images_are_taken_apart(source: str, registry: str | None, name: str, tag: str | None) -> None:
    (image,) = of_type(entities(crate(analysed(image_source=source))), "ContainerImage")
    assert (image.get("registry"), image["name"], image.get("tag")) == (registry, name, tag)


def test_without_digest_and_source_no_image_is_named() -> None:
    found = entities(crate(analysed(image_source="", image_sha256="")))
    assert of_type(found, "ContainerImage") == []


def test_inputs_and_results_in_omero_are_named_by_their_ids() -> None:
    found = entities(crate(analysed()))
    (action,) = of_type(found, "CreateAction")
    inputs = [found[each]["identifier"] for each in references(action["object"]) if "omero" in each]
    results = [found[each]["identifier"] for each in references(action["result"]) if "omero" in each]
    assert sorted(inputs) == ["OMERO Image:7", "OMERO Image:8"]
    assert sorted(results) == ["OMERO FileAnnotation:5", "OMERO Image:99"]
    assert found["#omero-image-8"]["alternateName"] == ["c_0.tif", "c_1.tif"]


def test_with_a_web_address_they_are_known_by_that() -> None:
    linked = dataclasses.replace(crate(analysed()), link=lambda kind, n: f"https://omero.example.org/?show={kind}-{n}")
    assert "https://omero.example.org/?show=Image-7" in entities(linked)


def test_programs_are_named_with_their_versions() -> None:
    found = entities(crate(analysed()))
    programs = {each["name"]: each["softwareVersion"] for each in of_type(found, "SoftwareApplication")}
    assert programs == {"omero-worker": "0.1", "Slurm": "24.11.5", "apptainer": "1.4.5"}


def test_outputs_have_their_digests_and_a_zarr_is_one_thing() -> None:
    found = entities(crate(analysed()))
    (action,) = of_type(found, "CreateAction")
    made = {found[each]["name"]: found[each] for each in references(action["result"]) if "output" in each}
    assert {name: each.get("sha256") for name, each in made.items()} == {
        "a b.tif": "a" * 64,
        "größe #1?.csv": "b" * 64,
        "l.zarr": None,
    }
    assert made["l.zarr"]["contentSize"] == "11"


def test_another_library_reads_the_crate_of_a_zip(tmp_path: Path) -> None:
    for output in OUTPUTS:
        (tmp_path / output.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / output.path).write_bytes(b"x")
    descriptor = descriptor_file(PROVENANCE)
    assert descriptor is not None
    (tmp_path / descriptor.path).write_text(DESCRIPTOR)
    (tmp_path / METADATA).write_bytes(render_crate(crate(analysed(), holds_outputs=True)))
    read = ROCrate(tmp_path)
    assert read.mainEntity["name"] == "Cell Pose"
    parts = {str(part.id): part for part in read.root_dataset["hasPart"]}
    assert parts.keys() == {"descriptor_cellpose.json", "masks/a%20b.tif", "gr%C3%B6%C3%9Fe%20%231%3F.csv", "l.zarr/"}
    assert all((tmp_path / part).exists() for part in ("masks/a b.tif", "größe #1?.csv", "l.zarr"))
    (action,) = [each for each in read.get_entities() if each.type == "CreateAction"]
    assert action["instrument"] == read.mainEntity
    assert action["agent"]["affiliation"]["name"] == "lab"
    assert len(action["object"]) == 2 + len(PROVENANCE.parameters)


def test_the_same_facts_give_the_same_bytes(any_crate: Crate) -> None:
    assert render_crate(any_crate) == render_crate(any_crate)
    assert json.loads(render_crate(any_crate)) == crate_graph(any_crate)


def test_names_that_are_not_utf_8_do_no_harm() -> None:
    odd = CrateFile("odd\udcff.tif", 1, "e" * 64)
    data = render_crate(crate(analysed(outputs=(odd,)), holds_outputs=True))
    assert "odd%FF.tif" in data.decode()
