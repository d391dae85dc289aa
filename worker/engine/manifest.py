"""What a job has produced: listed once, kept on the cluster and here, and the same for whoever asks later.

A manifest is kept beside the exit files of its job (`RunLayout.manifest`) and in the staging directory, so that a later
attempt, here or on another machine, verifies against what was listed first. In the record of the run stands the
manifest itself where it is small, and else its digest: a run is read at every look at it, and a list of 20,000 files
would be read with it each time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.cluster.files import put_file, read_file
from worker.cluster.layout import shown
from worker.cluster.listing import LeftOut, RemoteFile, changed_meanwhile, list_tree, naming
from worker.engine import staging
from worker.engine.jobs import output_of
from worker.engine.origin import origin_of
from worker.engine.removal import why_removed
from worker.engine.view import Progress
from worker.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path, PurePosixPath

    from worker.engine.context import StepContext

INLINE_BYTES = 32 * 1024
"""Up to this size a manifest stands in the record of the run: some 200 files."""

MOST_BYTES = 256 * 1024**2
"""Largest manifest that is read; one of a million files has about 150 MB."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a job has produced.

    Parameters
    ----------
    files : tuple of RemoteFile
        Its files, by path.
    left_out : tuple of LeftOut
        What was not fetched, and why.
    """

    files: tuple[RemoteFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def notes(self) -> list[str]:
        """What a person should know of what is left out and holds no result."""
        return [f"Left out of the results: {text}." for text in _by_kind(self.left_out, lost=False)]

    @property
    def missing(self) -> list[str]:
        """Which results could not be brought here."""
        texts = _by_kind(self.left_out, lost=True)
        return [f"Not fetched: {text}; mend that on the cluster, then retry the run from 'fetch'." for text in texts]

    def to_bytes(self) -> bytes:
        """Write it as a file."""
        # A line for each entry, so that a person finds one; names that are not UTF-8 survive as ASCII.
        files = [[file.path, file.size_bytes, file.sha256, file.changed] for file in self.files]
        left_out = [[item.path, item.why, item.lost] for item in self.left_out]
        lines = [",\n".join(json.dumps(entry) for entry in entries) for entries in (files, left_out)]
        return f'{{"files": [\n{lines[0]}\n],\n"left_out": [\n{lines[1]}\n]}}\n'.encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read it from a file.

        Parameters
        ----------
        data : bytes
            As `to_bytes` gave it.

        Returns
        -------
        Manifest
            The manifest.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            content = json.loads(data)
            return cls(
                tuple(RemoteFile(*entry) for entry in content["files"]),
                tuple(LeftOut(*entry) for entry in content["left_out"]),
            )
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("it is no manifest") from error

    def to_data(self) -> dict[str, Any]:
        """Give what is recorded of it."""
        data = self.to_bytes()
        if len(data) <= INLINE_BYTES and all(file.path.isprintable() for file in self.files):
            return {
                "files": [
                    {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in self.files
                ],
                "left_out": [[shown(item.path), item.why, item.lost] for item in self.left_out],
            }
        return {
            "manifest": {
                "sha256": hashlib.sha256(data).hexdigest(),
                "files": len(self.files),
                "size_bytes": self.size_bytes,
            }
        }


def manifest_of(context: StepContext) -> Manifest:
    """Look up what the job of this branch has produced, as the step ``fetch`` has recorded it.

    Parameters
    ----------
    context : StepContext
        A later step of the branch.

    Returns
    -------
    Manifest
        The manifest.

    Raises
    ------
    ResultsError
        If it is neither here nor on the cluster any more.
    """
    data = context.view.step(context.own_branch.step("fetch")).data
    recorded = data.get("manifest")
    if recorded is None:
        files = (RemoteFile(file["path"], file["size_bytes"], file["sha256"]) for file in data["files"])
        return Manifest(tuple(files), tuple(LeftOut(*entry) for entry in data.get("left_out", ())))
    for read in (_read_here, _read_there):
        content = read(context)
        if content is not None and hashlib.sha256(content).hexdigest() == recorded["sha256"]:
            return Manifest.from_bytes(content)
    raise ResultsError(
        f"The list of the {recorded['files']} result files is not what it was when they were fetched.",
        remedy=f"Fetch them anew: omero-worker runs retry {context.run_id} --from fetch",
    )


def take_manifest(context: StepContext, follow: Callable[[int, int], None]) -> Manifest:
    """List what the job of this branch has produced, and keep the list.

    Checksums that are known from an earlier attempt are not computed again where the file has not changed.

    Parameters
    ----------
    context : StepContext
        The step ``fetch`` of a job that has ended well.
    follow : callable
        Is told of how many files the checksum is known, and of how many there are.

    Returns
    -------
    Manifest
        The manifest.

    Raises
    ------
    TransferDamaged
        If files have changed since an earlier attempt, naming them; the next attempt takes them as they are now.
    ResultsError
        If the results are not there any more, or their folder is not the run's own.
    """
    origin = origin_of(context)
    if removed := why_removed(origin.view):
        raise ResultsError(f"There are no results to fetch. {removed}", remedy="Start a new run.")
    root = output_of(origin)
    before = _earlier(context)
    with staging.local_disk(context.staging):
        (context.staging / "out").mkdir(parents=True, exist_ok=True, mode=0o700)
    listing = list_tree(
        context.transport,
        root,
        within=origin.layout.root,
        known=before.files if before else (),
        into=context.staging / "out",
        follow=follow,
    )
    manifest = Manifest(listing.files, listing.left_out)
    data = manifest.to_bytes()
    if before is None or before.to_bytes() != data:
        context.guard()
        put_file(context.transport, _place(context), data)
    with staging.local_disk(context.staging):
        _local(context).write_bytes(data)
    if before is not None and before.files != manifest.files:
        changed = {file.path for file in {*before.files} ^ {*manifest.files}}
        raise changed_meanwhile(root, changed)
    return manifest


def _earlier(context: StepContext) -> Manifest | None:
    """What an earlier attempt has listed; None if there was none."""
    if context.view.step(context.own_branch.step("fetch")).progress is Progress.OPEN:
        return None  # nobody has begun yet, or a person wants it to begin anew
    for read in (_read_here, _read_there):
        content = read(context)
        if content is None:
            continue
        try:
            return Manifest.from_bytes(content)
        except ValueError:
            continue  # cut off by a crash: it is listed anew
    return None


def _local(context: StepContext) -> Path:
    return context.staging / "manifest.json"


def _place(context: StepContext) -> PurePosixPath:
    origin = origin_of(context)
    return origin.layout.manifest(output_of(origin))


def _read_here(context: StepContext) -> bytes | None:
    with staging.local_disk(context.staging):
        try:
            return _local(context).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


def _read_there(context: StepContext) -> bytes | None:
    return read_file(context.transport, _place(context), MOST_BYTES)


def _by_kind(left_out: tuple[LeftOut, ...], *, lost: bool) -> list[str]:
    """Name what is left out, by what it is."""
    kinds: dict[str, list[str]] = {}
    for item in left_out:
        if item.lost == lost:
            kinds.setdefault(item.why, []).append(item.path)
    return [f"{naming(paths)} ({why})" for why, paths in kinds.items()]
