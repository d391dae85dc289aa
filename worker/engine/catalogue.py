"""Refreshing the catalogue: what can be run, in which versions, with which parameters.

Dialogs read the catalogue from a file and never ask a cluster or the web themselves. All clusters and repositories are
asked at the same time, and the file is written as soon as there is news, so that none waits for another that does not
answer. Nothing is taken out of it because of that: what was known before stays, with a note.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NoReturn

import structlog

from worker.analyses import catalogue as catalogues
from worker.analyses import copies, sources
from worker.analyses.catalogue import Catalogue, CatalogueEntry, Choices
from worker.analyses.sources import SourcedAnalysis
from worker.analyses.tokens import Tokens
from worker.cluster import images
from worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from worker.analyses.model import Analysis
    from worker.cluster.transport import Transport
    from worker.errors import DescriptorError
    from worker.settings.models import Settings, WorkflowSettings

    Sources = Mapping[str, SourcedAnalysis | DescriptorError]
    TakeIn = Callable[[], None]
    Question = Callable[[], TakeIn]

log = structlog.get_logger(__name__)

WIDTH = 8
"""How many repositories are asked at the same time."""

_turn = threading.Lock()
_newest: dict[Path, object] = {}
"""For each catalogue the refresh that was begun last; an older one, of older settings, writes nothing any more."""


def refresh_catalogue(
    settings: Settings, transports: Callable[[str], Transport], *, state_dir: Path, ask_now: bool = False
) -> Catalogue:
    """Look at every workflow of slurm-config.ini and write the catalogue.

    Parameters
    ----------
    settings : Settings
        Names the workflows, their clusters, repositories and image folders.
    transports : callable
        Gives the way to the cluster of a name.
    state_dir : Path
        Where the catalogue and the cache of repositories are kept.
    ask_now : bool
        Whether to ask also repositories that have not answered a short time ago.

    Returns
    -------
    Catalogue
        What was found, as it was written.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    refresh = _Refresh(settings, catalogues.catalogue_path(state_dir))
    refresh.publish()
    names = {workflow.cluster for workflow in settings.workflows.values()}
    repos = {name: workflow.repo for name, workflow in settings.workflows.items() if workflow.repo is not None}
    fetch = partial(
        sources.fetch_group,
        cache_dir=sources.cache_dir(state_dir),
        timeout_s=settings.analyses.timeout_s,
        tokens=Tokens.of(settings.analyses),
        ask_now=ask_now,
    )
    questions: list[Question] = [partial(refresh.ask_cluster, name, transports) for name in sorted(names)]
    questions += [partial(refresh.ask_origin, group, fetch) for group in sources.by_origin(repos)]
    # Clusters that do not answer take no places of repositories.
    for answers in _ask_all(questions, WIDTH + len(names)):
        for take_in in answers:
            take_in()
        refresh.publish()
    return refresh.end()


def choices_of(settings: Settings, workflow: WorkflowSettings, analysis: Analysis | None) -> Choices:
    """Say what a person may choose for the jobs of a workflow.

    Parameters
    ----------
    settings : Settings
        Name the workflow's cluster.
    workflow : WorkflowSettings
        The workflow.
    analysis : Analysis or None
        What its descriptor says, if that is known.

    Returns
    -------
    Choices
        What its dialog offers. A GPU can be chosen where ``inject_gpu_flag`` says so; at first, that is as it is
        configured, else as the descriptor says.
    """
    gpu = None
    if settings.cluster(workflow.cluster).slurm.inject_gpu_flag:
        gpu = workflow.use_gpu if workflow.use_gpu is not None else analysis is not None and analysis.resources.gpu
    return Choices(workflow.user_time_max_s, workflow.user_memory_max_mib, workflow.user_partitions, gpu)


def _ask_all(questions: Sequence[Question], width: int) -> Iterator[list[TakeIn]]:
    """Ask in several threads, and give the answers as they come.

    The threads keep no process from ending: those of a pool would, for as long as a silent network pleases.
    """
    waiting: SimpleQueue[Question] = SimpleQueue()
    answers: SimpleQueue[TakeIn] = SimpleQueue()
    for question in questions:
        waiting.put(question)

    def ask() -> None:
        with contextlib.suppress(Empty):
            while True:
                question = waiting.get_nowait()
                try:
                    answers.put(question())
                except BaseException as error:  # noqa: BLE001 - a defect of ours: raised where answers are taken in
                    answers.put(partial(_raise, error))

    for number in range(min(width, len(questions))):
        threading.Thread(target=ask, daemon=True, name=f"refresh-{number}").start()
    missing = len(questions)
    while missing:
        came = [answers.get()]
        with contextlib.suppress(Empty):
            while True:
                came.append(answers.get_nowait())
        missing -= len(came)
        yield came


def _raise(error: BaseException) -> NoReturn:
    raise error


class _Refresh:
    """One look at all workflows, and what it has found so far."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings = settings
        self._path = path
        self._notes: dict[str, str] = {}
        self._files: dict[str, tuple[str, ...]] = {}
        """Image files on the clusters that have answered, by workflow."""
        with _turn:
            _newest[path] = self
            self._known = catalogues.load(path)
        self._entries = {name: self._before(name, workflow) for name, workflow in settings.workflows.items()}

    def _before(self, name: str, workflow: WorkflowSettings) -> CatalogueEntry:
        """What is known of a workflow before anybody is asked: nothing that its settings say otherwise now."""
        known = self._known.entry(name)
        entry = CatalogueEntry(name, (), None, cluster=workflow.cluster, repo=workflow.repo or "")
        if known is not None and known.cluster == workflow.cluster:
            entry = replace(entry, versions=known.versions)
        if workflow.repo is None:
            entry = replace(entry, problem=f"slurm-config.ini names no repository for it ({name}_repo).")
        elif known is not None and known.repo == workflow.repo:
            entry = replace(known, versions=entry.versions, cluster=entry.cluster)
        else:
            entry = replace(entry, problem="Its descriptor has not been read yet.")
        return self._with_choices(entry)

    def _with_choices(self, entry: CatalogueEntry) -> CatalogueEntry:
        return replace(entry, choices=choices_of(self._settings, self._settings.workflows[entry.name], entry.analysis))

    def ask_cluster(self, cluster: str, transports: Callable[[str], Transport]) -> TakeIn:
        """Ask a cluster which versions of its workflows it has."""
        workflows = self._settings.workflows.items()
        folders = {name: workflow.image_folder for name, workflow in workflows if workflow.cluster == cluster}
        path = self._settings.cluster(cluster).slurm.slurm_images_path
        try:
            return partial(self._take_images, images.list_images(transports(cluster), path, folders))
        except WorkerError as error:
            return partial(self._take_silence, cluster, error)

    def ask_origin(self, group: Mapping[str, str], fetch: Callable[[Mapping[str, str]], Sources]) -> TakeIn:
        """Ask a repository for the descriptors that it has."""
        found = fetch(group)
        for one in found.values():
            if isinstance(one, SourcedAnalysis):
                copies.keep_content(sources.cache_dir(self._path.parent), one.content)
        return partial(self._take_sources, found)

    def _take_images(self, found: Mapping[str, tuple[str, ...]]) -> None:
        self._files.update(found)
        for name in found:
            self._entries[name] = self._with_versions(self._entries[name])

    def _with_versions(self, entry: CatalogueEntry) -> CatalogueEntry:
        """Only the descriptor says what the files of the versions are called; without it, that is guessed."""
        if entry.name not in self._files:
            return entry
        image = "" if entry.analysis is None else entry.analysis.image
        return replace(entry, versions=images.versions_of(self._files[entry.name], image))

    def _take_silence(self, cluster: str, error: WorkerError) -> None:
        subject = "The cluster" if len(self._settings.clusters) == 1 else f"The cluster {cluster}"
        self._notes[cluster] = (
            f"{subject} did not answer at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; "
            f"versions are those seen before. {error.message}"
        )
        log.warning("versions_unknown", cluster=cluster, problem=str(error))

    def _take_sources(self, found: Sources) -> None:
        for name, one in found.items():
            entry = self._entries[name]
            if isinstance(one, SourcedAnalysis):
                entry = replace(
                    entry,
                    analysis=one.analysis,
                    problem=one.note,
                    source=one.source,
                    commit=one.commit,
                    fetched_at=one.fetched_at,
                    ref=one.ref,
                    path=one.path,
                    sha256=one.sha256,
                )
            else:
                entry = replace(entry, problem=str(one))
            if entry.problem and entry.problem != self._entries[name].problem:
                # Once, not at each look.
                log.warning("descriptor_not_up_to_date", workflow=name, problem=entry.problem)
            self._entries[name] = self._with_versions(self._with_choices(entry))

    def publish(self) -> None:
        """Write what is known so far, if it is news; when all was true is not said before all has been asked."""
        self._write(self._catalogue(self._known.refreshed_at, self._known.note))

    def end(self) -> Catalogue:
        """Write what was found, and when."""
        now, notes = datetime.now(UTC), "\n".join(self._notes[name] for name in sorted(self._notes))
        return self._write(self._catalogue(now.isoformat(timespec="seconds"), notes))

    def _catalogue(self, refreshed_at: str, note: str) -> Catalogue:
        return Catalogue(tuple(self._entries.values()), refreshed_at, note, tuple(self._settings.converters))

    def _write(self, catalogue: Catalogue) -> Catalogue:
        with _turn:
            if catalogue != self._known and _newest.get(self._path) is self:
                catalogues.save(self._path, catalogue)
                self._known = catalogue
        return catalogue
