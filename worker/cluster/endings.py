"""What a job has said about itself when it ended: where it ran, which image it found, with which programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from worker.cluster.scripts import script

if TYPE_CHECKING:
    from typing import Any

    from worker.cluster.layout import RunLayout
    from worker.cluster.transport import Transport

LONGEST_BYTES = 1_000_000
"""So much is read of the exit files of an array."""

_SAID = ("start", "end", "image_sha256", "image_source", "runtime", "slurm", "cluster")


def read_ending(transport: Transport, layout: RunLayout, job_id: int, key: str) -> dict[str, Any]:
    """Read what a job has said about itself.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.
    job_id : int
        Its job, which has ended.
    key : str
        The key under which it was submitted: what another job of the same number says is not believed.

    Returns
    -------
    dict
        ``hosts``, ``start`` and ``end`` (ISO 8601, UTC), ``image_sha256``, ``image_source`` (what it was pulled from),
        ``runtime``, ``slurm``, ``cluster`` (the name that Slurm gives it), as far as it has said so: nothing of a job
        that was killed before it could. Of an array what its tasks agree about.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    command = script("read_exit_files", str(layout.status), f"{job_id:d}", str(LONGEST_BYTES))
    answer = transport.run(command).check().text
    said = [content for line in answer.splitlines() if (content := _content(line)) and content.get("key") == key]
    facts: dict[str, Any] = {}
    for name in _SAID:
        values = sorted({str(content[name]) for content in said if content.get(name)})
        if name == "start" and values:
            facts[name] = values[0]
        elif name == "end" and values:
            facts[name] = values[-1]
        elif len(values) == 1:
            facts[name] = values[0]
    if hosts := list(dict.fromkeys(str(content["host"]) for content in said if content.get("host"))):
        facts["hosts"] = hosts
    return facts


def _content(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
