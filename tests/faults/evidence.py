"""What is there after a case: asked of Slurm, OMERO, the cluster's disk and the record, each by itself."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import tifffile

from tests.faults.kinds import ANALYSIS
from tests.lab.cluster import Cluster
from tests.lab.person import logged_in
from tests.soak import evidence as soak

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.faults.kinds import Expected
    from tests.faults.stage import Grounds
    from tests.faults.trial import Trial

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is there after a case; nobody's opinion."""

    run_id: str
    """The run that met the fault."""
    status: str
    """COMPLETED, FAILED, PAUSED, or whatever it was when patience was over."""
    message: str
    pauses: tuple[str, ...] = ()
    """Reasons for which it was paused on the way."""
    expected: Expected = ANALYSIS.expected
    """What must be there once if it has ended well."""
    makers: tuple[str, ...] = ()
    """The runs that results name: itself, that which had the job, or those of its batches."""
    submissions: tuple[str, ...] = ()
    """Keys of the submissions that were intended."""
    recorded_jobs: tuple[int, ...] = ()
    jobs: tuple[int, ...] = ()
    """Slurm jobs with these keys, as accounting knows them."""
    other_jobs: tuple[str, ...] = ()
    """Slurm jobs of the run under any other key."""
    queued: tuple[str, ...] = ()
    """Jobs of the run that still wait or run."""
    images: tuple[str, ...] = ()
    """Digests of the pixels of images that say they are of one of these runs."""
    registered: int = 0
    """Images that the importer has made of files of these runs."""
    orders: tuple[str, ...] = ()
    """Orders to the importer for files of these runs, each as often as it was placed."""
    archives: tuple[str, ...] = ()
    """Folders where results of these runs stay, unfinished ones included."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files in the folder that the run was to make on the cluster, by their path there."""
    expected_files: Mapping[str, str] = field(default_factory=dict)
    """What these must be: what a run without faults has made."""
    expected_image: str = ""
    """What that digest must be."""
    rois: tuple[str, ...] = ()
    """Names of the ROIs of this run, each as often as it is there."""
    descriptions: tuple[str, ...] = ()
    """Which of these runs OMERO describes, each as often as it does."""
    logs: tuple[str, ...] = ()
    """Logs of these jobs in OMERO, each as often as it is there."""
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
    descriptions: Mapping[str, int]
    logs: Mapping[str, int]
    clients_paths: tuple[str, ...]
    """Where files came from that the importer has made images of, a path for each image."""
    expected: str
    """Digest of the image that is analysed; results are copies of it."""


class Examiner:
    """Asks everybody.

    Parameters
    ----------
    grounds : Grounds
        What cases share.
    expected_files : mapping
        What a run without faults leaves in its folder on the cluster, by kind.
    since : datetime
        When the first case began.
    """

    def __init__(self, grounds: Grounds, expected_files: Mapping[str, Mapping[str, str]], since: datetime) -> None:
        self._grounds = grounds
        self._cluster = Cluster(grounds.lab)
        self._digests: dict[int, str] = {}
        self._expected_files = expected_files
        self._jobs = Shared(lambda: soak.jobs_by_key(self._cluster, since))
        self._queue = Shared(lambda: soak.queue(self._cluster))
        self._omero = Shared(self._look_into_omero)

    def examine(self, trial: Trial) -> Evidence:
        """Ask everybody about a run that has ended."""
        now = time.monotonic()
        stage, kind, record = trial.stage, trial.case.kind, trial.stage.record
        run = record.tracker.run(trial.run_id)
        makers = kind.makers(record, run)
        tasks = [record.tracker.task(task_id) for task_id in kind.jobs_of(record, run)]
        mine = [str(each) for maker in (run, *makers) for each in (maker.id, *maker.tasks)]
        keys = tuple(task.submission_key for task in tasks if task.submission_key)
        names = tuple(str(maker.id) for maker in makers)
        owners = [run, *(maker for maker in makers if trial.standing.status == "COMPLETED" or not kind.of_another)]
        folders = [path for owner in owners for path in stage.data_path.glob(f"*{owner.id}*")]
        if kind.of_another:
            owners = [run]  # what the other one has staged is removed within the hour
        if kind.of_another:
            owners = [run]  # what the other one has staged is removed within the hour
        staged = [stage.state_directory / "runs" / str(owner.id) for owner in owners]
        folders += [path for path in staged if any(path.rglob("*"))]
        named = [(name, job) for name, ids in self._jobs.since(now).items() for job in ids]
        about = [name for name in mine if name not in keys]
        seen = Evidence(
            run_id=str(trial.run_id),
            status=trial.standing.status,
            message=trial.standing.message,
            pauses=tuple(trial.pauses),
            expected=kind.expected,
            makers=names,
            submissions=keys,
            recorded_jobs=tuple(job for task in tasks for job in task.job_ids),
            other_jobs=tuple(
                f"{job} ({name})" for name, job in named if name not in keys and any(uuid in name for uuid in about)
            ),
            queued=tuple(line for line in self._queue.since(now) if any(uuid in line for uuid in mine)),
            orders=tuple(order for name in names for order in stage.in_place.orders(name)) if stage.in_place else (),
            archives=tuple(each for name in names for each in stage.in_place.archives(name)) if stage.in_place else (),
            files=files_in(stage.data_path / stage.folder),
            expected_files=self._expected_files.get(kind.name, {}),
            leases=tuple(soak.leases(record.database)),
            left=tuple(dict.fromkeys(map(str, folders))),
            views=tuple(soak.differing_views(record.database)),
        )
        return self._with_what_may_come_late(seen, now)

    def again(self, before: Mapping[str, Evidence]) -> dict[str, Evidence]:
        """Look at jobs and results of all runs once more, when everything has long come to rest."""
        now = time.monotonic()
        return {name: self._with_what_may_come_late(seen, now) for name, seen in before.items()}

    def _with_what_may_come_late(self, seen: Evidence, now: float) -> Evidence:
        jobs, there = self._jobs.since(now), self._omero.since(now)
        logs = [f"omero-{job_id}.log" for job_id in seen.recorded_jobs]
        return replace(
            seen,
            jobs=tuple(sorted(job for key in seen.submissions for job in jobs.get(key, ()))),
            images=tuple(digest for name in seen.makers for digest in there.images.get(name, ())),
            registered=sum(any(f"/{name}/" in path for name in seen.makers) for path in there.clients_paths),
            expected_image=there.expected,
            rois=tuple(roi for name in seen.makers for roi in there.rois.get(name, ())),
            descriptions=tuple(name for name in seen.makers for _ in range(there.descriptions.get(name, 0))),
            logs=tuple(name for name in logs for _ in range(there.logs.get(name, 0))),
        )

    def _look_into_omero(self) -> InOmero:
        person = self._grounds.person
        images: dict[str, list[str]] = {}
        with logged_in(self._grounds.lab, person.name) as gateway:
            for image_id, description in soak.result_images(gateway, person.dataset_id).items():
                images.setdefault(soak.run_named_in(description), []).append(self._digest(gateway, image_id))
            descriptions = Counter(soak.described_runs(gateway).values())
            logs = Counter(soak.job_logs(gateway).values())
            expected = self._digest(gateway, person.image_id)
            rois: dict[str, list[str]] = {}
            for image_id in (person.image_id, self._grounds.second_image_id):
                for name in soak.roi_names(gateway, image_id):
                    rois.setdefault(name.partition("__")[2].partition("_")[0], []).append(name)
            paths = soak.registered_paths(gateway, person.user_id)
        return InOmero(_frozen(images), _frozen(rois), descriptions, logs, paths, expected)

    def _digest(self, gateway: BlitzGateway, image_id: int) -> str:
        """Digest of the one plane of an image; empty while it cannot be read. What could be read does not change."""
        if image_id not in self._digests:
            image = gateway.getObject("Image", image_id)
            if image is None or image.getPrimaryPixels() is None:
                return ""
            plane = image.getPrimaryPixels().getPlane(0, 0, 0)
            self._digests[image_id] = hashlib.sha256(np.ascontiguousarray(plane).tobytes()).hexdigest()[:16]
        return self._digests[image_id]


def files_in(folder: Path) -> dict[str, str]:
    """Digests of the files in a folder by their path there, but for those that tell how it came there."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    told = re.compile(r"status/|job_|biomero_job_env_|omero-[\d_]+\.log")
    return {name: hashlib.sha256(_content(path)).hexdigest() for name, path in files.items() if not told.match(name)}


def _content(path: Path) -> bytes:
    """What is in a file; of a TIFF the pixels, as beside them it says when it was written."""
    try:
        pixels: bytes = tifffile.imread(path).tobytes()
    except tifffile.TiffFileError:
        return path.read_bytes()
    return pixels


def _frozen(found: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(each)) for name, each in found.items()}
