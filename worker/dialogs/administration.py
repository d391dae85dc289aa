"""The dialogs of the admins' scripts: titles, texts and fields. Building them asks nobody."""

from __future__ import annotations

from typing import Any

from omero.scripts import Bool, Int, String

INIT_TITLE = "Slurm Init (Admin Only)"
"""Name of the dialog; OMERO.biomero looks for exactly this one."""

INIT_PURPOSE = (
    "Set the Slurm clusters of slurm-config.ini up: make folders, bring job scripts, pull the container images of "
    "workflows and converters. What is as it should be is left alone, so that this may be run at any time. If it is "
    "stopped, images go on being pulled, and the next time waits for them. For admins of OMERO."
)

CHECK_TITLE = "Slurm Check Setup (Admin Only)"
"""Name of the dialog; OMERO.biomero looks for exactly this one."""

CHECK_PURPOSE = (
    "Look at the Slurm clusters of slurm-config.ini, and change nothing: login, Slurm, partitions, disks, container "
    "runtime, images and their versions. The report says how to mend what is wrong. For admins of OMERO."
)

INIT = "Init Slurm"
EXTRA_CONFIG = "Extra Config file (optional!)"
REBUILD = "Rebuild Analytics Views (skip if only adding new workflows!)"
REBUILD_DAYS = "Rebuild From Days Ago"
REBUILD_DATE = "Rebuild From Date"


def init_parameters() -> list[Any]:
    """Build the fields of "Slurm Init".

    Returns
    -------
    list of omero.scripts.Type
        The fields.
    """
    return [
        Bool(INIT, optional=True, grouping="01", default=True, description="Set the clusters up."),
        String(
            EXTRA_CONFIG,
            optional=True,
            grouping="01.1",
            description="Path, on the worker, of one more configuration file. It wins over the others, this time only.",
        ),
        Bool(
            REBUILD,
            optional=True,
            grouping="02",
            default=True,
            description="Compute the tables of the dashboards anew from the record of runs.",
        ),
        Int(
            REBUILD_DAYS,
            optional=True,
            grouping="02.1",
            min=0,
            description="Leave runs out of them that began more days ago and have ended. Leave empty to keep all.",
        ),
        String(
            REBUILD_DATE,
            optional=True,
            grouping="02.2",
            description="Leave runs out that began before this day (2026-01-31) and have ended; days ago win over it.",
        ),
    ]
