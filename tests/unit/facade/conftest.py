"""A worker with a record of one run, whose cluster is this machine."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from worker.analyses import catalogue as catalogues
from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.model import Analysis, Parameter
from worker.history.database import Database
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from pathlib import Path

CELLPOSE = Analysis(
    "Cellpose",
    "Finds cells.",
    "torchcell/w_cellpose",
    "cytomine-0.1",
    (
        Parameter("diameter", "Diameter", "integer", default=30, optional=True, flag="--diameter"),
        Parameter("threshold", "Threshold", "float", default=0.5, optional=True, flag="--threshold"),
    ),
)
CONFIGURATION = """\
[SSH]
host = local:
[WORKFLOWS]
cellpose = cellpose
cellpose_repo = https://github.com/TorecLuik/W_NucleiSegmentation-Cellpose/tree/v1.2.7
stardist = stardist
stardist_repo = https://github.com/Neubias-WG5/W_NucleiSegmentation-Stardist
"""


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the worker remembers: a catalogue and a run, whose job goes on."""
    folder = tmp_path_factory.mktemp("state")
    entries = (CatalogueEntry("cellpose", ("v1.2.7",), CELLPOSE), CatalogueEntry("stardist", (), None))
    catalogues.save(catalogues.catalogue_path(folder), Catalogue(entries))
    with Database(None, sqlite_path=folder / "history.sqlite") as database:
        database.migrate()
        tracker = WorkflowTracker(database)
        run_id = tracker.accept(
            name="Slurm Workflow",
            description="",
            user=3,
            group=5,
            request={},
            tasks=[TaskSpec("cellpose", "v1.2.7")],
            run_id=UUID("747fc951-15ca-4b56-a19e-418e1db97d14"),
        )
        (task_id,) = tracker.run(run_id).tasks
        tracker.add_job_id(task_id, 71)
        tracker.update_task_progress(task_id, "43%")
    return folder


@pytest.fixture
def deployment(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the worker."""
    for name in ("SQLALCHEMY_URL", "SQLALCHEMY_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMERO_WORKER_STATE_DIR", str(shutil.copytree(state, tmp_path / "state")))
    monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(tmp_path / "slurm-config.ini"))
    (tmp_path / "slurm-config.ini").write_text(CONFIGURATION, encoding="utf-8")
    return tmp_path
