"""The kinds of runs that meet faults: how each is asked for, what it needs before, what it leaves if all is well."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from tests.faults.boundary import ARCHIVE, OMERO, ORDERS
from tests.soak.stage import LABELS, WORKFLOW
from worker.engine.accept import accept
from worker.engine.children import children_of
from worker.engine.request import parse_request
from worker.engine.view import view_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.boundary import Boundary
    from tests.faults.stage import CaseStage
    from worker.engine.assembly import Record
    from worker.history.domain import WorkflowRun

NO_RESULTS: Final = {"dataset_id": None, "csv_tables": True}
"""What is chosen in a run whose results are brought into OMERO by another one: tables, of which there are none."""


@dataclass(frozen=True, slots=True)
class Expected:
    """How many there are of everything when a run has ended well."""

    jobs: int = 0
    images: int = 0
    rois: int = 0
    descriptions: int = 0
    logs: int = 0
    orders: int = 0
    """Orders to the importer, if it did not come to harm; one archive for each."""


class Kind:
    """An analysis, whose results come home through OMERO's API; others say what is different."""

    name: ClassVar[str] = "analysis"
    what: ClassVar[str] = "images are exported and analysed, and the results come home through OMERO's API"
    tasks: ClassVar[tuple[str, ...]] = ("export", WORKFLOW, "import")
    """Names of the tasks of a run, in their order."""
    expected: ClassVar[Expected] = Expected(1, 1, LABELS, 1, 1)
    own: ClassVar[str] = "."
    """Regular expression of the places that no run of a kind above has: the default matrix leaves out the others."""
    killed_every: ClassVar[int] = 1
    """In the default matrix an engine is killed at every n-th of these places."""
    sparing: ClassVar[int] = 1
    """Of the other faults it has every n-th case of what it has of an analysis."""
    in_place: ClassVar[bool] = False
    """Whether it needs the importer."""
    of_another: ClassVar[bool] = False
    """Whether the job is that of another run, whose data stay unless all goes well."""

    def is_of_its_own(self, place: Boundary) -> bool:
        """Whether no run of a kind above comes to a place."""
        return re.search(self.own, str(place)) is not None

    def accept(self, stage: CaseStage) -> UUID:
        """Record a run, as a script does, after all that must have happened before it."""
        return self._accept(stage, self._analysis(stage, {"create_rois": True}))

    def makers(self, record: Record, run: WorkflowRun) -> tuple[WorkflowRun, ...]:
        """The runs that have the jobs, and that results name."""
        return (run,)

    def jobs_of(self, record: Record, run: WorkflowRun) -> tuple[UUID, ...]:
        """The tasks that have jobs."""
        if not self.expected.jobs:
            return ()
        return tuple(branch.task_id for maker in self.makers(record, run) for branch in view_of(maker).branches)

    @staticmethod
    def _accept(stage: CaseStage, request: Mapping[str, Any]) -> UUID:
        record, person = stage.record, stage.grounds.person
        who = {
            "user_id": person.user_id,
            "user_name": person.name,
            "group_id": person.group_id,
            "group_name": person.group_name,
        }
        asked = parse_request({**request, **who})
        return accept(record.tracker, asked, record.settings)

    @staticmethod
    def _analysis(stage: CaseStage, output: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        person = stage.grounds.person
        asked = {
            "data_type": "Image",
            "ids": [person.image_id],
            "workflows": [{"name": WORKFLOW, "version": stage.lab.nuclei_version}],
            "output": {"dataset_id": person.dataset_id, "zip_to_parent": False, "csv_tables": False, **output},
        }
        return asked | changes


class Results(Kind):
    """*Slurm Get Results*: of a job that has ended before."""

    name = "results"
    what = "results of a job that has ended before come home through OMERO's API"
    tasks = ("import",)
    killed_every = 3
    sparing = 5
    of_another = True

    def accept(self, stage: CaseStage) -> UUID:
        return self._accept(stage, self._request(stage))

    def makers(self, record: Record, run: WorkflowRun) -> tuple[WorkflowRun, ...]:
        assert run.request is not None
        return (record.tracker.run(UUID(str(run.request["finished"]["run_id"]))),)

    def _request(self, stage: CaseStage) -> dict[str, Any]:
        made = stage.ended(self._accept(stage, self._analysis(stage, NO_RESULTS, cleanup=False)))
        task = stage.record.tracker.task(made.tasks[1])
        return {
            "kind": "results",
            "finished": {"run_id": str(made.id), "task_id": str(task.id), "job_id": task.job_ids[-1]},
            "output": {
                "dataset_id": stage.grounds.person.dataset_id,
                "zip_to_parent": False,
                "csv_tables": False,
                "create_rois": True,
            },
        }


class InPlace(Kind):
    """An analysis whose results are registered by the released importer."""

    name = "in-place"
    what = "images are analysed, and the results come home in place, through the importer"
    expected = Expected(1, 1, LABELS, 1, 1, 1)
    own = rf"import|{ARCHIVE}|{ORDERS}|tidy|remove_run|WorkflowCompleted"
    killed_every = 2
    sparing = 3
    in_place = True

    def accept(self, stage: CaseStage) -> UUID:
        return self._accept(stage, self._analysis(stage, {"create_rois": True}, in_place=True))


class ResultsInPlace(Results):
    """*SLURM_Import_Results*: of a job that has ended before, through the importer."""

    name = "results-in-place"
    what = "results of a job that has ended before come home in place, through the importer"
    expected = InPlace.expected
    own = rf"{ARCHIVE}|{ORDERS}|{OMERO}|tidy"
    killed_every = 8
    sparing = 12
    in_place = True

    def _request(self, stage: CaseStage) -> dict[str, Any]:
        return {**super()._request(stage), "in_place": True}


class Batches(InPlace):
    """*SLURM_Run_Workflow_Batched*: two batches, each a run of its own, with results in place."""

    name = "batches"
    what = "images are analysed in two batches at a time, and the results come home in place, through the importer"
    tasks = ()
    expected = Expected(2, 2, 2 * LABELS, 2, 2, 2)
    own = rf"split|child|TaskAdded|RequestRecorded|import|{ORDERS}|{ARCHIVE}rename|WorkflowCompleted"
    killed_every = 12
    sparing = 12

    def accept(self, stage: CaseStage) -> UUID:
        ids = [stage.grounds.person.image_id, stage.grounds.second_image_id]
        changes = {"ids": ids, "batch": {"size": 1, "parallel": 2}, "in_place": True}
        return self._accept(stage, self._analysis(stage, {"create_rois": True}, **changes))

    def makers(self, record: Record, run: WorkflowRun) -> tuple[WorkflowRun, ...]:
        return tuple(children_of(record.tracker, run).values())


class ImageTransfer(Kind):
    """*_SLURM_Image_Transfer*: images are put into a folder on the cluster, and stay there."""

    name = "transfer"
    what = "images are transferred to a folder on the cluster"
    tasks = ("export",)
    expected = Expected()
    killed_every = 3
    sparing = 4

    def accept(self, stage: CaseStage) -> UUID:
        return self._transfer(stage)

    def _transfer(self, stage: CaseStage, **changes: Any) -> UUID:
        selected = {"data_type": "Image", "ids": [stage.grounds.person.image_id]}
        return self._accept(
            stage, {"kind": "transfer", "folder": stage.folder, "cleanup": False, **selected, **changes}
        )


class FileTransfer(ImageTransfer):
    """*_SLURM_File_Transfer*: what is attached to something in OMERO is put beside images."""

    name = "file-transfer"
    what = "an attached file is transferred to a folder on the cluster"
    tasks = ("files",)
    killed_every = 4
    sparing = 6

    def accept(self, stage: CaseStage) -> UUID:
        stage.ended(self._transfer(stage))
        files = [{"annotation_id": stage.grounds.annotation_id, "slot": "p1"}]
        return self._accept(stage, {"kind": "file-transfer", "folder": stage.folder, "files": files, "cleanup": False})


class Conversion(ImageTransfer):
    """*SLURM_Remote_Conversion*: images on the cluster become those of another format."""

    name = "conversion"
    what = "images on the cluster are converted there"
    tasks = ("convert",)
    expected = Expected(jobs=1, logs=1)
    killed_every = 4
    sparing = 6

    def accept(self, stage: CaseStage) -> UUID:
        stage.ended(self._transfer(stage, use_zarr=True))
        return self._accept(
            stage,
            {
                "kind": "conversion",
                "folder": stage.folder,
                "conversion": {"source": "zarr", "target": "tiff"},
                "output": {"log_target": f"Dataset:{stage.grounds.person.dataset_id}"},
            },
        )


ANALYSIS: Final = Kind()

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        ANALYSIS,
        Results(),
        InPlace(),
        ResultsInPlace(),
        Batches(),
        ImageTransfer(),
        FileTransfer(),
        Conversion(),
    )
}
"""Every kind by its name."""
