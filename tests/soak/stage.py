"""What a soak works with: a deployment with an empty record, tiny images, and an analysis that costs nothing.

The jobs are real jobs of the lab's Slurm, with the job script that every job has; only the container runtime that the
script finds on its ``PATH`` is a stub (``runtime.sh``), because the start of a container costs more than all the rest.
"""

from __future__ import annotations

import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.bench.submission import fresh_database
from tests.lab.cluster import Cluster
from tests.lab.omero.images import import_image, make_dataset
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from worker.engine.accept import accept
from worker.engine.request import RunRequest, parse_request
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from numpy.typing import NDArray

    from tests.lab.description import Lab
    from worker.engine.assembly import Record

USERS = ("alice", "bob")
SHAPE = (16, 16)
LABELS = 3
"""Objects in the image that is analysed: the analysis is a copy, so that it is its own label image."""
RUNTIME = Path(__file__).with_name("runtime.sh")
WORKFLOW = "nuclei"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who starts runs."""

    name: str
    user_id: int
    group_id: int
    group_name: str
    image_id: int
    """What is analysed."""
    dataset_id: int
    """Where the results go."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that the runs of a soak need."""

    lab: Lab
    deployment: Deployment
    people: tuple[Person, ...]

    def request(self, number: int, *, cleanup: bool = True, **output: object) -> RunRequest:
        """What the n-th run is asked for; people take turns."""
        person = self.people[number % len(self.people)]
        return parse_request(
            {
                "data_type": "Image",
                "ids": [person.image_id],
                "workflows": [{"name": WORKFLOW, "version": self.lab.nuclei_version}],
                "output": {"dataset_id": person.dataset_id, "zip_to_parent": False, "csv_tables": False, **output},
                "cleanup": cleanup,
                "user_id": person.user_id,
                "user_name": person.name,
                "group_id": person.group_id,
                "group_name": person.group_name,
            }
        )

    def accept(self, record: Record, number: int, *, cleanup: bool = True, **output: object) -> UUID:
        """Record the n-th run, as a script does."""
        return accept(record.tracker, self.request(number, cleanup=cleanup, **output), record.settings)


@contextmanager
def staged(lab: Lab, *, users: tuple[str, ...] = USERS) -> Iterator[Stage]:
    """Set everything up, and remove it at the end.

    Parameters
    ----------
    lab : Lab
        A running lab.
    users : tuple of str
        Who starts runs.

    Yields
    ------
    Stage
        What the runs need.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omero-worker-soak-")))
        deployment = Deployment.create(lab, directory, stack.enter_context(fresh_database(lab)))
        deployment.configure("WORKFLOWS", **job_flags(stack.enter_context(stub_runtime(lab))))
        yield Stage(lab, deployment, tuple(stack.enter_context(person(lab, user)) for user in users))


def job_flags(bin_folder: str) -> dict[str, str]:
    """Settings of the workflow: small jobs, whose container runtime is found in a folder of ours."""
    return {
        f"{WORKFLOW}_job_mem": "100M",
        f"{WORKFLOW}_job_time": "00:05:00",
        f"{WORKFLOW}_job_export": f"ALL,PATH={bin_folder}:/usr/bin:/bin",
    }


@contextmanager
def stub_runtime(lab: Lab) -> Iterator[str]:
    """Put the stub on the cluster, and remove it at the end; yields its folder there."""
    cluster = Cluster(lab)
    assert lab.cluster_home is not None
    folder = lab.cluster_home / f"soak-{uuid.uuid4().hex[:8]}"
    cluster.write(folder / "apptainer", RUNTIME.read_bytes())
    cluster.run("chmod", "755", str(folder / "apptainer"))
    try:
        yield str(folder)
    finally:
        cluster.run("rm", "-rf", "--", str(folder))


def tiny() -> NDArray[np.uint16]:
    """The pixels of the image that is analysed."""
    pixels = np.zeros(SHAPE, np.uint16)
    for label in range(1, LABELS + 1):
        pixels[..., 4 * label : 4 * label + 3, 2 : 5 + label] = label
    return pixels


@contextmanager
def person(lab: Lab, user: str) -> Iterator[Person]:
    """Give somebody a tiny image and a dataset for results, and delete both at the end with all that came into them."""
    name = f"soak {uuid.uuid4().hex[:8]}"
    with logged_in(lab, user) as gateway:
        identity = who(gateway)
        sources, results = (make_dataset(gateway, f"{name} {what}") for what in ("sources", "results"))
        image_id = import_image(gateway, tiny(), "tiny", sources)
    try:
        yield Person(user, identity.user_id, identity.group_id, identity.group_name, image_id, results)
    finally:
        with logged_in(lab, user) as gateway:
            gateway.deleteObjects("Dataset", [sources, results], deleteAnns=True, deleteChildren=True, wait=True)
