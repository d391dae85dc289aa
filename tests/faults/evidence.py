"""What is there after a case: asked of Slurm, OMERO, the cluster's disk and the record, each by itself."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from tests.lab.cluster import Cluster
from tests.lab.person import logged_in
from tests.soak import evidence as soak

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from omero.gateway import BlitzGateway

    from tests.faults.stage import Grounds
    from tests.faults.trial import Trial

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is there after a case; nobody's opinion."""

    run_id: str
    status: str
    """COMPLETED, FAILED, PAUSED, or whatever it was when patience was over."""
    message: str
    pauses: tuple[str, ...] = ()
    """Reasons for which it was paused on the way."""
    submission: str = ""
    """Key of the submission; empty if none was intended."""
    recorded_jobs: tuple[int, ...] = ()
    jobs: tuple[int, ...] = ()
    """Slurm jobs with that key, as accounting knows them."""
    other_jobs: tuple[str, ...] = ()
    """Slurm jobs of the run under any other key."""
    queued: tuple[str, ...] = ()
    """Jobs of the run that still wait or run."""
    images: tuple[str, ...] = ()
    """Digests of the pixels of images that say they are of this run."""
    expected_image: str = ""
    """What that digest must be."""
    rois: tuple[str, ...] = ()
    """Names of the ROIs of this run, each as often as it is there."""
    provenances: int = 0
    """Descriptions of this run in OMERO."""
    logs: int = 0
    """Logs of its job in OMERO."""
    leases: tuple[str, ...] = ()
    """Holders of leases that have not expired."""
    left: tuple[str, ...] = ()
    """Folders of the run on the cluster and beside the engine."""
    views: tuple[str, ...] = ()
    """Views that are not what the events give."""


@dataclass
class Shared(Generic[T]):
    """An answer that several askers share, as long as it was asked for after each of them came."""

    ask: Callable[[], T]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asked_at: float = float("-inf")
    _answer: T | None = None

    def since(self, moment: float) -> T:
        """An answer to a question that was put after a moment of monotonic time."""
        with self._lock:
            if self._answer is None or self._asked_at <= moment:
                self._asked_at = time.monotonic()
                self._answer = self.ask()
            return self._answer


@dataclass(frozen=True, slots=True)
class InOmero:
    """What a dataset and its owner have in OMERO, by run or by name."""

    images: Mapping[str, tuple[str, ...]]
    """Digests of the pixels, by the run that the description names."""
    rois: Mapping[str, tuple[str, ...]]
    """Names of ROIs, by the run that they name."""
    provenances: Mapping[str, int]
    logs: Mapping[str, int]
    expected: str
    """Digest of the image that is analysed; results are copies of it."""


class Examiner:
    """Asks everybody.

    Parameters
    ----------
    grounds : Grounds
        What cases share.
    since : datetime
        When the first case began.
    """

    def __init__(self, grounds: Grounds, since: datetime) -> None:
        self._grounds = grounds
        self._cluster = Cluster(grounds.lab)
        self._digests: dict[int, str] = {}
        self._jobs = Shared(lambda: soak.jobs_by_key(self._cluster, since))
        self._queue = Shared(lambda: soak.queue(self._cluster))
        self._omero = Shared(self._look_into_omero)

    def examine(self, trial: Trial) -> Evidence:
        """Ask everybody about a run that has ended."""
        now = time.monotonic()
        record = trial.stage.record
        run = record.tracker.run(trial.run_id)
        task = record.tracker.task(run.tasks[1])
        key = task.submission_key or ""
        run_id, mine = str(trial.run_id), [str(trial.run_id), *map(str, run.tasks)]
        jobs = self._jobs.since(now)
        there = self._omero.since(now)
        folders = [path for path in trial.stage.data_path.glob("*") if run_id in path.name]
        staging = trial.stage.state_directory / "runs"
        folders += [path for path in staging.glob("*") if any(path.rglob("*"))]
        return Evidence(
            run_id=run_id,
            status=trial.standing.status,
            message=trial.standing.message,
            pauses=tuple(trial.pauses),
            submission=key,
            recorded_jobs=tuple(task.job_ids),
            jobs=tuple(jobs.get(key, ())),
            other_jobs=tuple(
                f"{job} ({name})"
                for name, ids in jobs.items()
                if name != key and any(uuid in name for uuid in mine)
                for job in ids
            ),
            queued=tuple(line for line in self._queue.since(now) if any(uuid in line for uuid in mine)),
            images=there.images.get(run_id, ()),
            expected_image=there.expected,
            rois=there.rois.get(run_id, ()),
            provenances=there.provenances.get(run_id, 0),
            logs=sum(there.logs.get(f"omero-{job_id}.log", 0) for job_id in task.job_ids),
            leases=tuple(soak.leases(record.database)),
            left=tuple(str(path) for path in folders),
            views=tuple(soak.differing_views(record.database)),
        )

    def again(self, before: Mapping[str, Evidence]) -> dict[str, Evidence]:
        """Look at jobs and results of all runs once more, when everything has long come to rest."""
        now = time.monotonic()
        jobs, there = self._jobs.since(now), self._omero.since(now)
        return {
            name: replace(
                seen,
                jobs=tuple(jobs.get(seen.submission, ())),
                images=there.images.get(seen.run_id, ()),
                rois=there.rois.get(seen.run_id, ()),
                provenances=there.provenances.get(seen.run_id, 0),
                logs=sum(there.logs.get(f"omero-{job_id}.log", 0) for job_id in seen.recorded_jobs),
            )
            for name, seen in before.items()
        }

    def _look_into_omero(self) -> InOmero:
        person = self._grounds.person
        images: dict[str, list[str]] = {}
        with logged_in(self._grounds.lab, person.name) as gateway:
            for image_id, description in soak.result_images(gateway, person.dataset_id).items():
                images.setdefault(soak.run_named_in(description), []).append(self._digest(gateway, image_id))
            provenances = Counter(soak.described_runs(gateway).values())
            logs = Counter(soak.job_logs(gateway).values())
            expected = self._digest(gateway, person.image_id)
            rois: dict[str, list[str]] = {}
            for name in soak.roi_names(gateway, person.image_id):
                rois.setdefault(name.partition("__")[2].partition("_")[0], []).append(name)
        return InOmero(_frozen(images), _frozen(rois), provenances, logs, expected)

    def _digest(self, gateway: BlitzGateway, image_id: int) -> str:
        """Digest of the one plane of an image; empty while it cannot be read. What could be read does not change."""
        if image_id not in self._digests:
            image = gateway.getObject("Image", image_id)
            if image is None or image.getPrimaryPixels() is None:
                return ""
            plane = image.getPrimaryPixels().getPlane(0, 0, 0)
            self._digests[image_id] = hashlib.sha256(np.ascontiguousarray(plane).tobytes()).hexdigest()[:16]
        return self._digests[image_id]


def _frozen(found: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(each)) for name, each in found.items()}
