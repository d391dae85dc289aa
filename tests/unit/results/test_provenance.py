"""metadata.csv and the map annotations: names that sites rely on."""

from __future__ import annotations

import csv
import dataclasses
import io

from worker.results.annotations import provenance_maps
from worker.results.metadata import metadata_name, render
from worker.results.model import Batch, Provenance

PROVENANCE = Provenance(
    run_id="11111111-2222-3333-4444-555555555555",
    task_id="66666666-7777-8888-9999-000000000000",
    job_id=42,
    workflow="cellpose",
    version="v1.3",
    parameters={"diameter": 30, "net, or model": 'the "best"'},
    run_name="nightly",
    user_name="alice",
    group_name="lab",
    started="2026-01-02T03:04:05Z",
    input_data="{'IDs': [1]}",
    result_message="done",
    command="sbatch x",
    environment={"DO_CONVERT": "true"},
)


def test_metadata_has_two_columns_and_no_header() -> None:
    rows = list(csv.reader(io.StringIO(render(PROVENANCE).decode())))
    assert {len(row) for row in rows} == {2}
    assert rows[0] == ["Job_ID", "42"]


def test_metadata_keys_are_the_established_ones_in_their_order() -> None:
    keys = [row[0] for row in csv.reader(io.StringIO(render(PROVENANCE).decode()))]
    assert keys == [
        "Job_ID",
        "Import_Type",
        "Import_User",
        "Import_Group",
        "Workflow_ID",
        "Workflow_Name",
        "Workflow_Version",
        "Workflow_Created_On",
        "Workflow_Modified_On",
        "Workflow_Task_IDs",
        "Task_cellpose_ID",
        "Task_cellpose_Name",
        "Task_cellpose_Version",
        "Task_cellpose_Status",
        "Task_cellpose_Input_Data",
        "Task_cellpose_Job_IDs",
        "Task_cellpose_Param_diameter",
        "Task_cellpose_Param_net, or model",
        "Task_cellpose_Job_42_Result_Message",
        "Task_cellpose_Job_42_Command",
        "Task_cellpose_Job_42_Env_DO_CONVERT",
    ]


def test_metadata_values_survive_commas_and_quotes() -> None:
    values = dict(csv.reader(io.StringIO(render(PROVENANCE).decode())))
    assert values["Task_cellpose_Param_net, or model"] == 'the "best"'
    assert values["Import_Type"] == "SLURM_Results"
    assert values["Workflow_Name"] == "nightly"


def test_metadata_is_named_after_the_run() -> None:
    assert metadata_name(PROVENANCE) == "metadata_11111111-2222-3333-4444-555555555555.csv"


def test_annotations_have_the_established_namespaces_and_keys() -> None:
    maps = provenance_maps(PROVENANCE)
    assert {namespace: list(pairs) for namespace, pairs in maps.items()} == {
        "biomero/workflow": ["Workflow_ID", "Name", "Version", "Created_On", "Modified_On", "Task_IDs"],
        "biomero/workflow/task/cellpose": [
            "Task_ID",
            "Workflow_ID",
            "Workflow_Name",
            "Name",
            "Version",
            "Created_On",
            "Modified_On",
            "Status",
            "Input_Data",
            "Job_IDs",
            "Param_diameter",
            "Param_net, or model",
        ],
        "biomero/workflow/task/cellpose/job": [
            "Job_ID",
            "Task_ID",
            "Workflow_ID",
            "Result_Message",
            "Command",
            "Env_DO_CONVERT",
        ],
    }


KNOWN = dataclasses.replace(
    PROVENANCE,
    settings_digest="5" * 64,
    worker_version="0.1",
    descriptor_sha256="d" * 64,
    descriptor_source="https://git.example.org/org/w_cellpose (v1.3 0123) descriptor.json",
    image_sha256="1" * 64,
    image_source="docker://org/w_cellpose:v1.3",
    cluster="snellius",
    slurm_version="slurm 24.11.5",
    runtime_version="apptainer version 1.4.5",
    hosts=("n1", "n2"),
    job_started="2026-01-02T03:05:00Z",
    job_ended="2026-01-02T03:06:00Z",
    exit_code=0,
    resources={"mem": "4GB", "exclusive": ""},
)


def test_what_is_known_besides_stands_behind_the_established_keys() -> None:
    established, said = provenance_maps(PROVENANCE), provenance_maps(KNOWN)
    added = {namespace: list(pairs)[len(established[namespace]) :] for namespace, pairs in said.items()}
    assert added == {
        "biomero/workflow": ["Worker_Version", "Settings_SHA256"],
        "biomero/workflow/task/cellpose": [
            "Descriptor_SHA256",
            "Descriptor_Source",
            "Image_SHA256",
            "Image_Source",
        ],
        "biomero/workflow/task/cellpose/job": [
            "Cluster",
            "Hosts",
            "Started_On",
            "Ended_On",
            "Exit_Code",
            "Slurm_Version",
            "Runtime_Version",
            "Resource_mem",
            "Resource_exclusive",
        ],
    }
    assert all(list(said[namespace])[: len(pairs)] == list(pairs) for namespace, pairs in established.items())


def test_metadata_says_the_same_behind_its_established_rows() -> None:
    before = list(csv.reader(io.StringIO(render(PROVENANCE).decode())))
    after = list(csv.reader(io.StringIO(render(KNOWN).decode())))
    assert after[: len(before)] == before
    added = dict(after[len(before) :])
    assert added["Settings_SHA256"] == "5" * 64
    assert added["Task_cellpose_Image_SHA256"] == "1" * 64
    assert added["Task_cellpose_Job_42_Resource_mem"] == "4GB"
    assert Provenance.from_json(KNOWN.to_json()) == KNOWN


def test_results_of_a_batch_say_so() -> None:
    batch = Batch("99999999-2222-3333-4444-555555555555", "nightly, in batches", 2, 3, "Image", (7, 8))
    provenance = dataclasses.replace(PROVENANCE, batch=batch)
    assert provenance_maps(provenance) == provenance_maps(PROVENANCE) | {
        "biomero/workflow/batch": {
            "Batch_Supervisor_Workflow_ID": "99999999-2222-3333-4444-555555555555",
            "Batch_Index": "2",
            "Total_Batches": "3",
            "Input_Image_IDs": "7, 8",
        }
    }
    assert Provenance.from_json(provenance.to_json()) == provenance


def test_every_value_of_an_annotation_is_text() -> None:
    assert all(isinstance(value, str) for pairs in provenance_maps(PROVENANCE).values() for value in pairs.values())
