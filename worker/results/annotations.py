"""Map annotations that say where results come from: the workflow, its task, its job.

Namespaces and keys are those that existing dashboards, searches and people's habits know. The three annotations are
written once for a run and linked to every image and dataset that it created. Where the run is a batch of another one, a
fourth says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import omero.model
from omero.rtypes import rstring

from worker.results.ledger import Key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.results.ledger import Ledger
    from worker.results.model import Batch, Provenance

NS_WORKFLOW: Final = "biomero/workflow"
"""Namespace of the annotation that describes a run; those of task, job and batch begin with it."""

NS_BATCH: Final = f"{NS_WORKFLOW}/batch"
"""Namespace of the annotation that says which batch of which run this one is."""


def provenance_maps(provenance: Provenance) -> dict[str, dict[str, str]]:
    """Say where results come from, as key-value pairs.

    Parameters
    ----------
    provenance : Provenance
        Where they come from.

    Returns
    -------
    dict
        Namespace to pairs, for workflow, task and job, and for the batch if the run is one.
    """
    task_namespace = f"{NS_WORKFLOW}/task/{provenance.workflow}"
    modified = provenance.modified or provenance.started
    run_name = provenance.run_name or provenance.workflow
    return {
        NS_WORKFLOW: {
            "Workflow_ID": provenance.run_id,
            "Name": run_name,
            "Version": provenance.version,
            "Created_On": provenance.started,
            "Modified_On": modified,
            "Task_IDs": ", ".join(provenance.task_ids or (provenance.task_id,)),
            **known({"Worker_Version": provenance.worker_version, "Settings_SHA256": provenance.settings_digest}),
        },
        task_namespace: {
            "Task_ID": provenance.task_id,
            "Workflow_ID": provenance.run_id,
            "Workflow_Name": run_name,
            "Name": provenance.workflow,
            "Version": provenance.version,
            "Created_On": provenance.started,
            "Modified_On": modified,
            "Status": provenance.status,
            "Input_Data": provenance.input_data,
            "Job_IDs": str(provenance.job_id),
            **{f"Param_{name}": str(value) for name, value in provenance.parameters.items()},
            **analysis_pairs(provenance),
        },
        f"{task_namespace}/job": {
            "Job_ID": str(provenance.job_id),
            "Task_ID": provenance.task_id,
            "Workflow_ID": provenance.run_id,
            "Result_Message": provenance.result_message,
            "Command": provenance.command,
            **{f"Env_{name}": value for name, value in provenance.environment.items()},
            **job_pairs(provenance),
        },
        **_batch_map(provenance.batch),
    }


def analysis_pairs(provenance: Provenance) -> dict[str, str]:
    """Say what exactly was run, behind the keys that have always been there.

    Parameters
    ----------
    provenance : Provenance
        Where the results come from.

    Returns
    -------
    dict
        Keys and values; none of what nobody knows.
    """
    return known(
        {
            "Descriptor_SHA256": provenance.descriptor_sha256,
            "Descriptor_Source": provenance.descriptor_source,
            "Image_SHA256": provenance.image_sha256,
            "Image_Source": provenance.image_source,
        }
    )


def job_pairs(provenance: Provenance) -> dict[str, str]:
    """Say where and how the job ran, behind the keys that have always been there.

    Parameters
    ----------
    provenance : Provenance
        Where the results come from.

    Returns
    -------
    dict
        Keys and values; none of what nobody knows.
    """
    return known(
        {
            "Cluster": provenance.cluster,
            "Hosts": ", ".join(provenance.hosts),
            "Started_On": provenance.job_started,
            "Ended_On": provenance.job_ended,
            "Exit_Code": "" if provenance.exit_code is None else str(provenance.exit_code),
            "Slurm_Version": provenance.slurm_version,
            "Runtime_Version": provenance.runtime_version,
        }
    ) | {f"Resource_{name}": value for name, value in provenance.resources.items()}


def known(pairs: Mapping[str, str]) -> dict[str, str]:
    """Leave out what nobody knows: an empty value would look like one that is known to be empty."""
    return {name: value for name, value in pairs.items() if value}


def _batch_map(batch: Batch | None) -> dict[str, dict[str, str]]:
    if batch is None:
        return {}
    return {
        NS_BATCH: {
            "Batch_Supervisor_Workflow_ID": batch.supervisor_id,
            "Batch_Index": str(batch.index),
            "Total_Batches": str(batch.total),
            f"Input_{batch.data_type}_IDs": ", ".join(map(str, batch.ids)),
        }
    }


def supervisor_annotation(batch: Batch) -> Any:
    """Make the annotation of something that belongs to all batches of a run; not saved yet.

    Parameters
    ----------
    batch : Batch
        One of the batches.

    Returns
    -------
    omero.model.MapAnnotationI
        The annotation, which names the run whose selection was split.
    """
    return _map_annotation(NS_WORKFLOW, {"Workflow_ID": batch.supervisor_id, "Name": batch.supervisor_name})


def write_provenance(ledger: Ledger, provenance: Provenance) -> tuple[int, ...]:
    """Write the annotations of a run, once.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    provenance : Provenance
        Where the results come from.

    Returns
    -------
    tuple of int
        Ids of the map annotations, to be linked to whatever is created.
    """
    ids = []
    for namespace, pairs in provenance_maps(provenance).items():
        # Not the content: a status or a time that was read a little later is still the same annotation.
        key = Key(provenance.task_id, "-", f"provenance:{provenance.job_id}:{namespace}", "")
        entry = ledger.find(key)
        if entry is None:
            _, entry = ledger.create(_map_annotation(namespace, pairs), key)
        ids.append(entry.object_id)
    return tuple(ids)


def references(annotation_ids: Sequence[int]) -> list[Any]:
    """Refer to map annotations that are in OMERO already, to link them to something."""
    return [omero.model.MapAnnotationI(annotation_id, False) for annotation_id in annotation_ids]


def _map_annotation(namespace: str, pairs: Mapping[str, str]) -> Any:
    annotation = omero.model.MapAnnotationI()
    annotation.setNs(rstring(namespace))
    annotation.setMapValue([omero.model.NamedValue(name, value) for name, value in pairs.items()])
    return annotation
