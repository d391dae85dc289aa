"""The scripts of the dialogs, opened as OMERO's Processor opens it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[3]
SCRIPTS = CHECKOUT / "scripts"
OFFERED = {
    "__workflows/SLURM_Run_Workflow.py": ("Slurm Workflow", 25),
    "__workflows/SLURM_Run_Workflow_Batched.py": ("Slurm Workflow (Batched)", 25),
    "_data/SLURM_Get_Update.py": ("Slurm Get Update", 5),
    "admin/Tail_logs.py": ("Tail Biomero Log (Admin Only)", 2),
    "_data/SLURM_Remote_Conversion.py": ("SLURM Remote Conversion", 6),
    "_data/_SLURM_File_Transfer.py": ("_SLURM_File_Transfer", 5),
    "_data/_SLURM_Image_Transfer.py": ("_SLURM_Image_Transfer", 20),
    "admin/SLURM_Init_environment.py": ("Slurm Init (Admin Only)", 5),
    "admin/SLURM_check_setup.py": ("Slurm Check Setup (Admin Only)", 0),
}
"""Titles of the dialogs and number of their fields where there is no catalogue."""

ENTERED = {
    "worker.analyses",
    "worker.analyses.catalogue",
    "worker.analyses.model",
    "worker.analyses.record",
    "worker.dialogs",
    "worker.dialogs.administration",
    "worker.dialogs.fields",
    "worker.dialogs.limits",
    "worker.dialogs.looking",
    "worker.dialogs.own_jobs",
    "worker.dialogs.own_runs",
    "worker.dialogs.parameters",
    "worker.dialogs.tailing",
    "worker.dialogs.transfer",
    "worker.errors",
    "worker.settings",
    "worker.settings.amounts",
    "worker.settings.locations",
}
"""The rooms that a dialog may enter: none of them costs anything."""

OPEN = """
import json, sys
from omero.scripts import parse_file
params = parse_file(sys.argv[1])
packages = {name.partition(".")[0] for name in sys.modules}
rooms = sorted(name for name in sys.modules if name.startswith("worker."))
print(json.dumps({"name": params.name, "fields": len(params.inputs), "packages": sorted(packages), "rooms": rooms}))
"""


@pytest.fixture(scope="module", params=OFFERED)
def script(request: pytest.FixtureRequest) -> Path:
    return SCRIPTS / str(request.param)


@pytest.fixture(scope="module")
def opened(script: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A dialog, opened in a fresh process that can reach neither cluster nor web nor database, and has no catalogue."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "PYTHONPATH": str(CHECKOUT),
        "SQLALCHEMY_URL_FILE": "/nonexistent",
        "OMERO_WORKER_CONFIG_FILE": "/nonexistent",
    }
    command = [sys.executable, "-c", OPEN, str(script)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_dialog_opens_although_nothing_else_works(opened: Any, script: Path) -> None:
    assert (opened["name"], opened["fields"]) == OFFERED[f"{script.parent.name}/{script.name}"]


@pytest.mark.parametrize("package", ["pydantic", "sqlalchemy", "paramiko", "numpy", "zarr", "structlog", "alembic"])
def test_opening_a_dialog_does_not_load(opened: Any, package: str) -> None:
    assert package not in opened["packages"]


def test_opening_a_dialog_enters_no_room_but_those_of_dialogs_and_catalogue(opened: Any) -> None:
    assert set(opened["rooms"]) <= ENTERED


def test_the_script_is_short(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 80


def test_the_script_is_plain_ascii(script: Path) -> None:
    # OMERO's server reads scripts in the character set of its locale, and compares checksums.
    assert script.read_text(encoding="utf-8").isascii()
