"""Reading the dialogs of `worker.dialogs.result_fields`, and following the runs that come of them."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from omero.rtypes import rstring

from worker.dialogs import result_fields
from worker.dialogs.giving import give_log, give_objects
from worker.dialogs.launch import follow_request
from worker.dialogs.reading import read_object, read_switch
from worker.engine.assembly import open_record
from worker.errors import RequestError, RunNotFound
from worker.history.jobs import jobs_of
from worker.results.inplace.checking import check_group
from worker.results.model import OF_ANALYSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omero.gateway import BlitzGateway

    from worker.dialogs.fields import Dialog, Field
    from worker.dialogs.launch import Teller
    from worker.dialogs.looking import Kind
    from worker.engine.assembly import Record
    from worker.engine.attached import RunOutcome
    from worker.history.jobs import JobRow
    from worker.pixels.session import Identity

_PLACE = re.compile(r"\s*(Project|Dataset|Image|Screen|Plate)\s*:\s*(\d{1,18})\s*")
_ID = re.compile(r"\s*(\d{1,18})\s*(?::.*)?", re.DOTALL)


def bring_results(client: Any, *, in_place: bool) -> int:
    """Do what was filled in: import the results of a job.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.
    in_place : bool
        Whether they are imported in place, through the importer.

    Returns
    -------
    int
        Exit status of the script: 0 only if everything that was asked for is in OMERO.
    """
    return follow_request(client, partial(read_results, in_place=in_place), _give)


def read_results(inputs: Mapping[str, Any], person: Identity, *, in_place: bool) -> dict[str, Any] | str:
    """Make a request of what was filled in.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    person : Identity
        Who pressed Run.
    in_place : bool
        Which of the two dialogs it was.

    Returns
    -------
    dict or str
        The fields of `worker.engine.request.RunRequest`; a text where only the permissions were to be tested.

    Raises
    ------
    RequestError
        It cannot be done as asked; the message names the field as the dialog shows it.
    RunNotFound
        The job is not one of this person's.
    """
    dialog = result_fields.IMPORT if in_place else result_fields.GET
    with open_record() as record:
        if in_place:
            _require_importer(record)
            if read_switch(inputs, result_fields.TEST_ONLY):
                return _test_permissions(record, person)
        if not read_switch(inputs, result_fields.COMPLETED):
            raise RequestError(
                f"'{result_fields.COMPLETED.label}' is not ticked: there is nothing to import.", remedy="Tick it."
            )
        job = _own_job(record, person.user_id, inputs)
    return {
        "kind": "results",
        "finished": {"run_id": job.run_id, "task_id": job.task_id, "job_id": job.job_id},
        "in_place": in_place,
        "output": read_options(inputs, dialog),
        "cleanup": read_switch(inputs, result_fields.CLEANUP),
        "user_id": person.user_id,
        "user_name": person.user_name,
        "group_id": person.group_id,
        "group_name": person.group_name,
    }


def read_options(inputs: Mapping[str, Any], dialog: Dialog) -> dict[str, Any]:
    """Read what is to happen with the results.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    dialog : Dialog
        Which dialog it was; what it does not ask for stays as `worker.results.model.ImportOptions` has it.

    Returns
    -------
    dict
        Fields of `worker.results.model.ImportOptions`.

    Raises
    ------
    RequestError
        Nothing was chosen, or something that there is not.
    """
    asked = {field.name: field for field in dialog.fixed}
    options = {field.option: _read(inputs, field) for field in dialog.fixed if field.option}
    zips = {kind: asked[switch.name] for kind, (switch, _) in result_fields.ZIP_TO.items()}
    options["zip_to_parent"] = any(read_switch(inputs, switch) for switch in zips.values())
    options["zip_places"] = _places(inputs, result_fields.ZIP_TO, asked, own=OF_ANALYSED)
    options["table_places"] = _places(inputs, result_fields.TABLES_TO, asked)
    options["file_places"] = _places(inputs, result_fields.FILES_TO, asked)
    options["log_place"] = _log_place(inputs)
    options["roi_targets"] = list(dict.fromkeys(inputs.get(result_fields.ROI_TARGETS.name) or ()))
    into_dataset = read_switch(inputs, asked[result_fields.NEW_DATASET.name])
    options["new_dataset"] = _name(inputs, asked[result_fields.DATASET_NAME.name]) if into_dataset else None
    options["dataset_id"] = options["dataset_id"] if into_dataset else None
    renames = read_switch(inputs, asked[result_fields.RENAMES.name])
    options["rename"] = _name(inputs, asked[result_fields.RENAME.name]) if renames else None
    if result_fields.NEW_SCREEN.name in asked:
        into_screen = read_switch(inputs, result_fields.NEW_SCREEN)
        options["new_screen"] = _name(inputs, result_fields.SCREEN_NAME) if into_screen else None
        options["screen_id"] = options["screen_id"] if into_screen else None
    selects = (
        "zip_to_parent",
        "attach_to_images",
        "new_dataset",
        "new_screen",
        "csv_tables",
        "attach_files",
        "create_rois",
    )
    if not any(options.get(option) for option in selects):
        raise RequestError(
            "Nothing was chosen to happen with the results.", remedy="Tick at least one of the fields 'Output - …'."
        )
    return options


def _read(inputs: Mapping[str, Any], field: Field) -> Any:
    if field.kind == "switch":
        return read_switch(inputs, field)
    if field.kind == "object":
        return read_object(inputs, field)
    text = str(inputs.get(field.name) or field.default or "").strip()
    if field.values and text not in field.values:
        raise RequestError(f"'{field.label}' is {text!r}.", remedy=f"It must be one of {', '.join(field.values)}.")
    return text


def _name(inputs: Mapping[str, Any], field: Field) -> str:
    text = str(inputs.get(field.name) or field.default or "").strip()
    if not text:
        raise RequestError(f"'{field.label}' is empty.", remedy=field.description)
    return text


def _places(
    inputs: Mapping[str, Any], chosen: Mapping[Kind, tuple[Field, Field]], asked: Mapping[str, Field], *, own: str = ""
) -> list[str]:
    """Read the containers whose switch is on; the dialog offers them as ``<id>: <name>``.

    What stands for those of the analysed images becomes ``own`` in the place of an id; it is left out without that.
    """
    places = []
    for kind, (switch, field) in chosen.items():
        if not read_switch(inputs, asked[switch.name]):
            continue
        given = inputs.get(field.name) or ()
        texts = [given] if isinstance(given, str) else list(given)
        named = [str(text) for text in texts if text != result_fields.OWN]
        if named and len(named) < len(texts):
            raise RequestError(
                f"'{field.label}' holds both {result_fields.OWN!r} and {named[0]!r}.", remedy="Choose one or the other."
            )
        if not named and own:
            places.append(f"{kind}:{own}")
        for text in named:
            match = _ID.fullmatch(text)
            if match is None:
                raise RequestError(
                    f"'{field.label}' holds {text!r}.", remedy=f"Give the id of a {kind.lower()}, such as 51."
                )
            places.append(f"{kind}:{int(match[1])}")
    return list(dict.fromkeys(places))


def _log_place(inputs: Mapping[str, Any]) -> str:
    wanted = str(inputs.get(result_fields.LOG_TARGET.name) or "")
    match = _PLACE.fullmatch(wanted)
    if wanted.strip() and match is None:
        raise RequestError(
            f"'{result_fields.LOG_TARGET.label}' is {wanted!r}.", remedy="Give a kind and an id, such as Dataset:42."
        )
    return f"{match[1]}:{match[2]}" if match else ""


def _own_job(record: Record, user: int, inputs: Mapping[str, Any]) -> JobRow:
    """Find the job that was named, among the person's own."""
    text = str(inputs.get(result_fields.JOB_ID.name) or "").strip()
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise RequestError(
            f"'{result_fields.JOB_ID.label}' is {text!r}, which is not the number of a job."
            if text
            else f"'{result_fields.JOB_ID.label}' is empty.",
            remedy="Choose one of your jobs, or give its number, which the message of its run names.",
        )
    run_id = _uuid(inputs, result_fields.WORKFLOW_UUID)
    task_id = _uuid(inputs, result_fields.TASK_ID)
    jobs = [
        job
        for job in jobs_of(record.database, user, job_id=int(text))
        if (run_id in (None, job.run_id)) and (task_id in (None, job.task_id))
    ]
    if not jobs:
        # The same for a job of somebody else: whose it is is nobody's business.
        raise RunNotFound(
            f"There is no Slurm job {text} among your runs.", remedy="Only results of your own runs can be imported."
        )
    if len({job.run_id for job in jobs}) > 1:
        runs = ", ".join(str(job.run_id) for job in jobs)
        raise RequestError(
            f"Slurm has given the number {text} to several of your jobs: of the runs {runs}.",
            remedy=f"Say which run under '{result_fields.WORKFLOW_UUID.label}'.",
        )
    return jobs[0]


def _uuid(inputs: Mapping[str, Any], field: Field) -> UUID | None:
    text = str(inputs.get(field.name) or "").strip()
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise RequestError(f"'{field.label}' is {text!r}, which is no UUID.", remedy="Leave it empty.") from error


def _require_importer(record: Record) -> None:
    if not record.environment.importer_enabled:
        raise RequestError(
            "Results cannot be imported in place here: the importer is not enabled.",
            remedy="Use 'Slurm Get Results', or ask an admin to set IMPORTER_ENABLED=true for the worker.",
        )


def _test_permissions(record: Record, person: Identity) -> str:
    """Find out whether results of this person's group could be stored and ordered, without leaving anything."""
    folder = check_group(record.environment, person.group_name, person.group_id)
    return f"Results of group {person.group_name} can be stored in {folder}, and imported from there."


def _give(teller: Teller, gateway: BlitzGateway, outcome: RunOutcome, record: Record) -> None:
    """Give the results, the job's log by its address, and the run whose job it was."""
    give_objects(teller, gateway, outcome)
    finished = (record.tracker.run(outcome.run_id).request or {}).get("finished") or {}
    teller.give("Workflow_UUID", rstring(str(finished.get("run_id", ""))))
    give_log(teller, gateway, outcome, finished.get("job_id"))
