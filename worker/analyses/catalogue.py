"""What can be run at this moment, kept in one JSON file: the engine writes it, script dialogs read it.

So that a dialog opens while the cluster and the web are away, and at once. Only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.analyses.model import Analysis
from worker.analyses.record import read_count, read_list, read_record, read_text, read_texts
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = 2
"""Raised when older programs could no longer read the file."""


_ORIGIN = ("cluster", "repo", "source", "commit", "fetched_at", "ref", "path", "sha256")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the admin lets a person choose for the jobs of a workflow, beyond its parameters.

    Parameters
    ----------
    time_max_s : int | None
        The longest time limit, in seconds; None if it cannot be chosen.
    memory_max_mib : int | None
        The most memory, in MiB; None if it cannot be chosen.
    partitions : tuple[str, ...]
        The partitions; empty if it cannot be chosen.
    gpu : bool | None
        Whether it runs on a GPU unless told otherwise; None if it cannot be chosen.
    """

    time_max_s: int | None = None
    memory_max_mib: int | None = None
    partitions: tuple[str, ...] = ()
    gpu: bool | None = None

    def to_json(self) -> dict[str, object]:
        """Express it in JSON types.

        Returns
        -------
        dict[str, object]
            One item per field.
        """
        return {
            "time_max_s": self.time_max_s,
            "memory_max_mib": self.memory_max_mib,
            "partitions": list(self.partitions),
            "gpu": self.gpu,
        }

    @classmethod
    def from_json(cls, data: object) -> Choices:
        """Read what `to_json` gave.

        Parameters
        ----------
        data : object
            The JSON value.

        Returns
        -------
        Choices
            The choices.

        Raises
        ------
        ValueError
            It is not what `to_json` gives.
        """
        record = read_record(data)
        gpu = record.get("gpu")
        if gpu is not None and not isinstance(gpu, bool):
            raise ValueError("gpu is neither true nor false")
        return cls(
            _read_most(record, "time_max_s"),
            _read_most(record, "memory_max_mib"),
            read_texts(record, "partitions"),
            gpu,
        )


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One workflow of slurm-config.ini.

    Parameters
    ----------
    name : str
        Its name, in lower case.
    versions : tuple[str, ...]
        The versions whose images are on the cluster, newest first.
    analysis : Analysis | None
        What its descriptor says; None if that could not be read.
    problem : str
        Why it cannot be run, or runs from old data; empty if all is well.
    choices : Choices
        What a person may choose for its jobs.
    cluster : str
        The cluster that it runs on, and that has these versions.
    repo : str
        The address that slurm-config.ini gives for its descriptor.
    source : str
        Where exactly its descriptor was read from, for persons.
    commit : str
        The commit of its repository; empty if it is not from one.
    fetched_at : str
        When its descriptor was fetched: ISO 8601 in UTC; empty if it never was.
    ref, path : str
        The branch or tag, and the path in the repository, that it was read from; empty for the default branch, and
        where there is no repository.
    sha256 : str
        Digest of its bytes; empty if nobody knows.
    """

    name: str
    versions: tuple[str, ...]
    analysis: Analysis | None
    problem: str = ""
    choices: Choices = Choices()
    cluster: str = "default"
    repo: str = ""
    source: str = ""
    commit: str = ""
    fetched_at: str = ""
    ref: str = ""
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every workflow, as of some moment.

    Parameters
    ----------
    entries : tuple[CatalogueEntry, ...]
        The workflows, in the order in which they are shown.
    refreshed_at : str
        When this was true: ISO 8601 in UTC; empty if never.
    note : str
        What a person should know about the whole, such as that the cluster does not answer.
    converters : tuple[str, ...]
        The registered conversions, as ``<source>_to_<target>``.
    """

    entries: tuple[CatalogueEntry, ...] = ()
    refreshed_at: str = ""
    note: str = ""
    converters: tuple[str, ...] = ()

    def entry(self, name: str) -> CatalogueEntry | None:
        """Find a workflow by its name, in whatever case.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        CatalogueEntry | None
            Its entry, or None if there is none.
        """
        return next((entry for entry in self.entries if entry.name.lower() == name.lower()), None)


def catalogue_path(state_dir: Path) -> Path:
    """Say where the catalogue is kept.

    Parameters
    ----------
    state_dir : Path
        Folder in which the worker keeps what it must remember.

    Returns
    -------
    Path
        The file.
    """
    return state_dir / "catalogue.json"


def load(path: Path) -> Catalogue:
    """Read a catalogue; this never fails, as a dialog must open whatever happens.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Catalogue
        The catalogue; without entries, and with a note that says why, if the file is missing or damaged.
    """
    try:
        record = read_record(json.loads(path.read_bytes()))
        written = read_count(record, "format")
        if written is not None and 0 < written < FORMAT:
            return Catalogue(
                note=f"The list of workflows has not been made yet: {path} is of an earlier version of this program."
            )
        return _read_catalogue(record)
    except FileNotFoundError:
        return Catalogue(note=f"The list of workflows has not been made yet: there is no file {path}.")
    except (OSError, ValueError, RecursionError) as error:
        return Catalogue(note=f"The list of workflows in {path} cannot be read: {error}.")


def save(path: Path, catalogue: Catalogue) -> None:
    """Write a catalogue so that a reader sees the old one or the new one, even across a power cut.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.
    catalogue : Catalogue
        What to write.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    record = {
        "format": FORMAT,
        "refreshed_at": catalogue.refreshed_at,
        "note": catalogue.note,
        "converters": list(catalogue.converters),
        "entries": [
            {
                "name": entry.name,
                "versions": list(entry.versions),
                "analysis": None if entry.analysis is None else entry.analysis.to_json(),
                "problem": entry.problem,
                "choices": entry.choices.to_json(),
                **{key: getattr(entry, key) for key in _ORIGIN},
            }
            for entry in catalogue.entries
        ],
    }
    replace_file(path, json.dumps(record, indent=1, allow_nan=False).encode())


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a new content in the place of a file: written beside it, flushed to the disk, and renamed.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.
    data : bytes
        The content.
    mode : int
        Who may read and write it.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as (descriptor, name):
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            name.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror or error}.",
            remedy="OMERO_WORKER_STATE_DIR must name a folder that this process may write to.",
        ) from error


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[tuple[int, Path]]:
    """Open a new file in the same folder, and remove it if it has not been renamed in the end."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        yield descriptor, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _read_catalogue(record: dict[str, object]) -> Catalogue:
    if record.get("format") != FORMAT:
        raise ValueError(f"its format is {record.get('format')!r}, and this program reads {FORMAT}")
    return Catalogue(
        entries=tuple(_read_entry(item) for item in read_list(record, "entries")),
        refreshed_at=read_text(record, "refreshed_at"),
        note=read_text(record, "note"),
        # Not in the files of releases that did not offer them.
        converters=read_texts(record, "converters") if "converters" in record else (),
    )


def _read_entry(data: object) -> CatalogueEntry:
    record = read_record(data)
    analysis = record.get("analysis")
    return CatalogueEntry(
        name=read_text(record, "name"),
        versions=read_texts(record, "versions"),
        analysis=None if analysis is None else Analysis.from_json(analysis),
        problem=read_text(record, "problem"),
        # Not in the files of releases that offered none.
        choices=Choices.from_json(record["choices"]) if "choices" in record else Choices(),
        **{key: read_text(record, key) for key in _ORIGIN if key in record},
    )


def _read_most(record: Mapping[str, object], key: str) -> int | None:
    value = record.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{key} is not a number of at least 1")
    return value
