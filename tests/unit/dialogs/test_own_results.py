"""The dialogs about results: which jobs they offer, and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from omero.rtypes import unwrap

from worker.dialogs.bringing import read_options
from worker.dialogs.own_results import Offer, describe, importable, parameters, what_was_asked
from worker.dialogs.result_fields import GET, IMPORT
from worker.errors import RequestError
from worker.history.jobs import JobRow
from worker.history.requests import RequestRow
from worker.results.model import ImportOptions

KEPT, TIDY, FAILED, OPEN, TRANSFER = (UUID(int=number) for number in range(1, 6))


def job(number: int, run_id: UUID, status: str = "COMPLETED") -> JobRow:
    return JobRow(number, run_id, UUID(int=number), "cellpose", "v1.0", status, None, active=False)


def run(run_id: UUID, state: str, **request: Any) -> RequestRow:
    return RequestRow(run_id, "Slurm Workflow", state, datetime(2026, 1, 1, tzinfo=UTC), request)


RUNS = [
    run(KEPT, "COMPLETED", cleanup=False),
    run(TIDY, "COMPLETED", cleanup=True),
    run(FAILED, "FAILED"),
    run(OPEN, "STARTED"),
    run(TRANSFER, "FAILED", kind="transfer"),
]
OFFER = Offer(
    (job(71, KEPT), job(70, FAILED)),
    {KEPT: "Dataset 51, 2026-01-01 00:00"},
    {"Project": ["5: P"], "Plate": ["6: Q"]},
)
OWN = "(of the analysed images)"


def test_jobs_are_offered_whose_results_may_be_on_the_cluster() -> None:
    jobs = [job(71, KEPT), job(72, TIDY), job(73, FAILED), job(74, FAILED, "TIMEOUT"), job(75, OPEN), job(76, TRANSFER)]
    assert [each.job_id for each in importable(jobs, RUNS)] == [71, 73]


def test_a_job_is_not_offered_any_more_once_its_results_were_imported_and_removed() -> None:
    def imported(state: str, *, cleanup: bool) -> RequestRow:
        return run(UUID(int=9), state, kind="results", finished={"run_id": str(KEPT), "job_id": 71}, cleanup=cleanup)

    jobs = [job(71, KEPT)]
    assert importable(jobs, [*RUNS, imported("COMPLETED", cleanup=True)]) == []
    assert importable(jobs, [*RUNS, imported("COMPLETED", cleanup=False)]) == jobs
    assert importable(jobs, [*RUNS, imported("FAILED", cleanup=True)]) == jobs


def test_a_person_is_offered_what_is_theirs() -> None:
    for dialog in (GET, IMPORT):
        fields = {field.name(): field for field in parameters(dialog, OFFER)}
        assert unwrap(fields["SLURM Job Id"].values) == ["71", "70"]
        # OMERO.web shows the first of them as chosen, and lets nobody choose none.
        assert unwrap(fields["Project"].values) == [OWN, "5: P"]
        assert unwrap(fields["Plate for table"].values) == [OWN, "6: Q"]
        assert fields["Dataset for table"].values is None
        said = describe(dialog, OFFER)
        assert f"Job 71: cellpose v1.0 on Dataset 51, 2026-01-01 00:00 (run {KEPT})." in said
        assert f"Job 70: cellpose v1.0 (run {FAILED})." in said


def test_a_person_without_jobs_is_told_how_results_come_to_stay() -> None:
    assert "None of your jobs has results on the cluster." in describe(GET, Offer())
    said = describe(GET, Offer(problem="OMERO did not answer in time."))
    assert "None of your jobs" not in said
    assert "OMERO did not answer in time." in said


def test_of_many_jobs_the_newest_are_explained() -> None:
    said = describe(GET, Offer(tuple(job(number, KEPT) for number in range(25))))
    assert said.count("cellpose") == 20
    assert said.endswith("And 5 earlier ones.")


def test_a_run_is_known_by_what_it_was_asked_for() -> None:
    assert what_was_asked(run(KEPT, "COMPLETED", data_type="Plate", ids=[7])) == "Plate 7, 2026-01-01 00:00"
    many = run(KEPT, "COMPLETED", data_type="Image", ids=[1, 2, 3, 4])
    assert what_was_asked(many) == "Images 1, 2, 3 …, 2026-01-01 00:00"


def test_untouched_dialogs_do_what_they_show() -> None:
    get = ImportOptions.from_json(read_options({}, GET))
    assert get == ImportOptions(
        zip_to_parent=True,
        attach_to_images=True,
        csv_tables=False,
        allow_duplicate_dataset=True,
        zip_places=("Project:*",),
    )
    shown = {"Project": [OWN], "Dataset for table": [OWN], "Plate for file outputs": [OWN]}
    assert ImportOptions.from_json(read_options(shown, GET)) == get
    in_place = ImportOptions.from_json(read_options({}, IMPORT))
    assert in_place == ImportOptions(
        zip_to_parent=False,
        csv_tables=True,
        new_dataset="Imported_Results",
        rename="{original_file}_IMPORTED.{ext}",
    )


def test_places_are_those_whose_switch_is_on() -> None:
    inputs = {
        "Project": ["5: P", "6: Q: R"],
        "Output - Attach as zip to plate?": True,
        "Plate": ["7: S"],
        "Dataset_Attach": ["8: not ticked"],
        "Output - Add csv files as OMERO.table": True,
        "Dataset for table": ["9"],
        "Attach table to plate": True,
        "Plate for table": ["10: T"],
        "Log_Fallback_Target": "Dataset:42",
    }
    options = ImportOptions.from_json(read_options(inputs, GET))
    assert options.zip_places == ("Project:5", "Project:6", "Plate:7")
    assert options.table_places == ("Dataset:9", "Plate:10")
    assert (options.file_places, options.log_place) == ((), "Dataset:42")


def test_a_zip_goes_to_each_kind_of_place_that_is_ticked() -> None:
    inputs = {"Output - Attach as zip to dataset?": True, "Dataset_Attach": [OWN], "Project": ["5: P"]}
    assert read_options(inputs, GET)["zip_places"] == ["Project:5", "Dataset:*"]


def test_an_id_beats_a_name_and_counts_only_where_images_are_imported() -> None:
    chosen = {"Output - Add as new images in NEW dataset": True, "Dataset_ID": 12}
    assert ImportOptions.from_json(read_options(chosen, GET)).dataset_id == 12
    assert ImportOptions.from_json(read_options({"Dataset_ID": 12}, GET)).dataset_id is None
    screen = {"Output - Add as new images in NEW screen": True, "New Screen": "S", "Screen_ID": 0}
    options = ImportOptions.from_json(read_options(screen, IMPORT))
    assert (options.new_screen, options.screen_id) == ("S", None)


NOTHING = {"Output - Attach as zip to project?": False, "Output - Add as attachment to original images": False}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (NOTHING, "Nothing was chosen"),
        ({"Project": ["five"]}, "'Project' holds 'five'"),
        ({"Project": [OWN, "5: P"]}, "'Project' holds both '\\(of the analysed images\\)' and '5: P'"),
        ({"Log_Fallback_Target": "the moon"}, "'Log Fallback Target' is 'the moon'"),
        ({"ROI_Shape": "Circle"}, "'ROI Shape' is 'Circle'"),
        ({"Output - Add as new images in NEW dataset": True, "New Dataset": " "}, "'New Dataset' is empty"),
        ({"Output - Add as new images in NEW dataset": True, "Dataset_ID": -1}, "'Dataset ID' is -1"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_the_dialog(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        read_options(inputs, GET)
    assert caught.value.remedy
