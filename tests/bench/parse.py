"""``python -m tests.bench.parse``: what it costs OMERO to learn the fields of a dialog.

OMERO.web does it on each opening of the dialog and three times on each run, OMERO.biomero on each look at its status.
The yardstick is a Python that imports ``omero.scripts`` and does nothing else: no script of OMERO's can be quicker.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from worker.analyses import catalogue as catalogues
from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.model import Analysis, Parameter

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = CHECKOUT / "scripts" / "__workflows" / "SLURM_Run_Workflow.py"
YARDSTICK = "import omero.scripts"
WORKFLOWS = 10
PARAMETERS = 12
REPETITIONS = 9
OMERO_OWN = {"ObjectFactoryRegistrar"}
"""What ``omero.client`` imports under names of its own."""


def measure(repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Parse the dialog of a usual deployment again and again, in turns with the yardstick.

    Parameters
    ----------
    repetitions : int
        How often; the median counts.

    Returns
    -------
    dict
        ``parse_s`` and ``import_omero_scripts_s`` (medians, whole processes; ``samples_s`` has each), their ``ratio``,
        ``own_import_ms`` (time spent in our own modules), ``fields``, and the ``foreign`` packages that were imported
        besides omero, Ice and the standard library: none, if all is well.
    """
    with tempfile.TemporaryDirectory() as directory:
        catalogues.save(catalogues.catalogue_path(Path(directory)), usual_catalogue())
        config = Path(directory) / "ice.config"
        config.write_text("omero.scripts.parse=only\nomero.host=localhost\n", encoding="utf-8")
        environ = {**os.environ, "OMERO_WORKER_STATE_DIR": directory, "ICE_CONFIG": str(config)}
        yardstick, parses = [], []
        for _ in range(repetitions + 1):
            yardstick.append(_timed([sys.executable, "-c", YARDSTICK], environ))
            parses.append(_timed([sys.executable, str(SCRIPT)], environ))
        base = _imports(["-c", YARDSTICK], environ)
        ours = _imports([str(SCRIPT)], environ)
    # The first of each warms the disk's cache.
    del parses[0], yardstick[0]
    parse_s, import_s = statistics.median(parses), statistics.median(yardstick)
    known = set(sys.stdlib_module_names) | {name.partition(".")[0] for name in base} | OMERO_OWN | {"worker"}
    return {
        "parse_s": round(parse_s, 4),
        "import_omero_scripts_s": round(import_s, 4),
        "samples_s": {"parse": parses, "import_omero_scripts": yardstick},
        "ratio": round(parse_s / import_s, 3),
        "own_import_ms": round(sum(us for name, us in ours.items() if name.startswith("worker")) / 1000, 1),
        "fields": 24 + WORKFLOWS * (2 + PARAMETERS),
        "foreign": sorted({name.partition(".")[0] for name in ours} - known),
    }


def usual_catalogue() -> Catalogue:
    """A catalogue as large as that of a busy deployment."""
    parameters = tuple(
        Parameter(f"parameter_{number}", "Parameter", "float", default=0.5, optional=True, flag=f"--p{number}")
        for number in range(PARAMETERS)
    )
    entries = tuple(
        CatalogueEntry(
            f"workflow_{number}", ("v2", "v1"), Analysis(f"Workflow {number}", "", "o/w", "cytomine-0.1", parameters)
        )
        for number in range(WORKFLOWS)
    )
    return Catalogue(entries, "2026-01-02T03:04:05+00:00")


def _timed(command: list[str], environ: dict[str, str]) -> float:
    """Run a process to its end and say how long that took, in seconds."""
    started = time.perf_counter()
    subprocess.run(command, env=environ, cwd=CHECKOUT, capture_output=True, check=False)
    return time.perf_counter() - started


def _imports(arguments: list[str], environ: dict[str, str]) -> dict[str, int]:
    """Every module that a process imports, with the microseconds spent in it alone (``-X importtime``)."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, env=environ, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    found: dict[str, int] = {}
    for line in done.stderr.splitlines():
        cells = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and len(cells) == 3 and cells[0].strip().isdigit():
            found[cells[2].strip()] = int(cells[0])
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
