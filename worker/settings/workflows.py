"""Which keys of ``[MODELS]`` and ``[WORKFLOWS]`` are workflows, and which belong to one.

=====================================  ==============================================================
key                                    meaning
=====================================  ==============================================================
``<wf>``                               folder of its images; blank hides a workflow of an earlier file
``<wf>_repo``                          repository of its descriptor
``<wf>_job``                           its job script
``<wf>_job_<flag>``                    ``--<flag>=<value>`` for sbatch; without ``=``: ``--<flag>``
``<wf>_use_gpu``                       whether it runs on a GPU
``<wf>_cluster``                       the cluster that it runs on
``<wf>_user_time_max``                 people may choose the time limit of its jobs, up to this one
``<wf>_user_memory_max``               people may choose the memory of its jobs, up to this much
``<wf>_user_partitions``               people may choose one of these partitions
``<wf>_retry_max``                     how often a job that ran out of memory or time is tried again
``<wf>_retry_memory_factor``           ... with so many times the memory that it had
``<wf>_retry_memory_max``              ... but never more than this
``<wf>_retry_time_factor``             ... with so many times the time that it had
``<wf>_retry_time_max``                ... but never more than this
=====================================  ==============================================================

Names may themselves end in ``_repo`` or hold ``_job_``, so a key belongs to the longest workflow that it fits, and
is a workflow only if it fits none. Shorter keys are settled first, which makes the order of the file irrelevant.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings import models, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.settings.ini import Entry

_RETRY = "_retry_"
_RETRY_FIELDS = models.written_fields(models.RetrySettings)
_FIELDS = models.written_fields(models.WorkflowSettings)
_OWN = (*(f"_{key}" for key in _FIELDS), *(f"{_RETRY}{key}" for key in _RETRY_FIELDS))
_LIMITS = ("user_time_max", "user_memory_max", "user_partitions")
_NEVER_A_NAME = ("_repo", "_job", "_use_gpu")
"""What follows the name of a workflow, and is not taken for a workflow of its own even with a repository."""
_FLAG = "_job_"
_ORPHAN = re.compile(rf"(?P<name>.+?)(?P<rest>{'|'.join(_OWN)}|_job_.+)")
_COMMENT_INSIDE = re.compile(r"\s#")
_FLAG_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(slots=True)
class _Draft:
    entry: Entry
    own: dict[str, Entry] = field(default_factory=dict)
    flags: dict[str, Entry] = field(default_factory=dict)


def read_workflows(
    entries: Mapping[str, Entry],
    clusters: Mapping[str, models.ClusterSettings],
    read_value: Callable[[Entry, reading.Reader], object],
) -> tuple[dict[str, models.WorkflowSettings], list[str]]:
    """Read the merged section of workflows.

    Parameters
    ----------
    entries : Mapping[str, Entry]
        The entries by lower-case key.
    clusters : Mapping[str, ClusterSettings]
        All clusters; what people may choose, if a workflow does not say, is as its cluster says.
    read_value : Callable[[Entry, Reader], object]
        Reads a value that is not blank.

    Returns
    -------
    tuple[dict[str, WorkflowSettings], list[str]]
        The workflows by lower-case name, sorted, and warnings.

    Raises
    ------
    SettingsError
        A workflow is to run on a cluster that is not there.
    """
    drafts, warnings = _assign(entries)
    workflows: dict[str, models.WorkflowSettings] = {}
    for name, draft in sorted(drafts.items()):
        if draft.entry.blank:
            continue
        workflows[name] = models.WorkflowSettings.model_validate(
            {
                "name": name,
                "display_name": draft.entry.spelling,
                "image_folder": read_value(draft.entry, reading.FOLDER),
                "job_flags": read_flags(draft.flags, warnings),
                "retry": _read_retry(draft, read_value, warnings),
            }
            | _read_own(draft, clusters, read_value)
        )
    return workflows, warnings


def readers(entries: Mapping[str, Entry]) -> dict[str, reading.Reader]:
    """Say of each key of the merged section that is a workflow, or belongs to one, how its value is read.

    Parameters
    ----------
    entries : Mapping[str, Entry]
        The entries by lower-case key.

    Returns
    -------
    dict[str, Reader]
        By key, sorted; all keys but those that are ignored with a warning.
    """
    drafts, _ = _assign(entries)
    own = {f"_{key}": mark.reader for key, (_, mark) in _FIELDS.items()}
    own |= {f"{_RETRY}{key}": mark.reader for key, (_, mark) in _RETRY_FIELDS.items()}
    found: dict[str, reading.Reader] = {}
    for draft in drafts.values():
        found[draft.entry.key] = reading.FOLDER
        found |= {entry.key: own[rest] for rest, entry in draft.own.items()}
        found |= {entry.key: reading.TEXT for entry in draft.flags.values()}
    return dict(sorted(found.items()))


def members(entries: Mapping[str, Entry], name: str) -> tuple[str, ...]:
    """List the keys that make up one workflow.

    Parameters
    ----------
    entries : Mapping[str, Entry]
        The entries by lower-case key.
    name : str
        The workflow, in whatever case.

    Returns
    -------
    tuple[str, ...]
        The keys in lower case, its own name first; empty where there is no such workflow.
    """
    draft = _assign(entries)[0].get(name.lower())
    if draft is None:
        return ()
    return tuple(entry.key for entry in (draft.entry, *draft.own.values(), *draft.flags.values()))


def read_flags(entries: Mapping[str, Entry], warnings: list[str]) -> dict[str, str | None]:
    """Read options of sbatch.

    Parameters
    ----------
    entries : Mapping[str, Entry]
        From the name of the option, without ``--``, to its entry.
    warnings : list[str]
        Takes a warning for each that is left out or looks wrong.

    Returns
    -------
    dict[str, str | None]
        The options, sorted; None is an option without a value. ``flag =`` with nothing after it is no option: it
        takes back what an earlier file set.
    """
    flags: dict[str, str | None] = {}
    for flag, entry in sorted(entries.items()):
        if not _FLAG_NAME.fullmatch(flag):
            warnings.append(f"{entry.where}: {entry.spelling} is ignored: {flag!r} cannot be an option of sbatch.")
            continue
        if "_" in flag:
            warnings.append(
                f"{entry.where}: {entry.spelling}: options of sbatch are written with '-', "
                f"and this one gives --{flag}. Did you mean {flag.replace('_', '-')}?"
            )
        if entry.value is None:
            flags[flag] = None
        elif not entry.blank:
            warn_of_comment(entry, warnings)
            flags[flag] = entry.value
    return flags


def warn_of_comment(entry: Entry, warnings: list[str]) -> None:
    """Warn of what looks like a comment behind a value in which ``#`` may stand.

    Parameters
    ----------
    entry : Entry
        The entry.
    warnings : list[str]
        Takes the warning.
    """
    if _COMMENT_INSIDE.search(entry.value or ""):
        warnings.append(
            f"{entry.where}: [{entry.section}] {entry.spelling}: what follows # is part of the value. "
            "Put comments on lines of their own."
        )


def _read_own(
    draft: _Draft,
    clusters: Mapping[str, models.ClusterSettings],
    read_value: Callable[[Entry, reading.Reader], object],
) -> dict[str, object]:
    """Read the keys of one workflow that are fields of its model."""
    values: dict[str, object] = {}
    for key, (name, mark) in _FIELDS.items():
        entry = draft.own.get(f"_{key}")
        if entry is not None and not entry.blank:
            values[name] = read_value(entry, mark.reader)
    cluster = values.get("cluster", models.DEFAULT_CLUSTER)
    if cluster not in clusters:
        entry = draft.own["_cluster"]
        raise SettingsError(
            f"{entry.where}: [{entry.section}] {entry.spelling} = {cluster!r}: there is no such cluster.",
            remedy=models.cluster_hint(str(cluster), clusters),
        )
    slurm = clusters[str(cluster)].slurm
    for key in _LIMITS:
        # A blank one is a "no" to people, whatever the cluster says.
        if f"_{key}" not in draft.own:
            name = _FIELDS[key][0]
            values[name] = getattr(slurm, name)
    return values


def _read_retry(
    draft: _Draft, read_value: Callable[[Entry, reading.Reader], object], warnings: list[str]
) -> models.RetrySettings | None:
    """Read how jobs are tried again; None if they are not."""
    values: dict[str, object] = {}
    written: list[Entry] = []
    for key, (name, mark) in _RETRY_FIELDS.items():
        entry = draft.own.get(f"{_RETRY}{key}")
        if entry is not None and not entry.blank:
            values[name] = read_value(entry, mark.reader)
            written.append(entry)
    if values.get("max"):
        return models.RetrySettings.model_validate(values)
    if written and "max" not in values:
        warnings.append(
            f"{written[0].where}: {written[0].spelling} has no effect without {draft.entry.key}{_RETRY}max, "
            "which says how often a job is tried again."
        )
    return None


def _assign(entries: Mapping[str, Entry]) -> tuple[dict[str, _Draft], list[str]]:
    drafts: dict[str, _Draft] = {}
    warnings: list[str] = []
    elsewhere = {key: section for section, model in models.SECTIONS.items() for key in models.written_fields(model)}
    for key in sorted(entries, key=lambda key: (len(key), key)):
        entry = entries[key]
        fit = _longest_fit(key, drafts)
        # No option of sbatch ends in _repo: <wf>_job_<flag> with a repository of its own is a workflow.
        if fit is not None and (fit[1] in _NEVER_A_NAME or f"{key}_repo" not in entries):
            draft, rest = fit
            if rest in _OWN:
                draft.own[rest] = entry
            else:
                draft.flags[rest.removeprefix(_FLAG)] = entry
        elif f"{key}_repo" in entries or f"{key}_job" in entries:
            drafts[key] = _Draft(entry)
        elif key in elsewhere:
            warnings.append(f"{entry.where}: {entry.spelling} is ignored here: it belongs in [{elsewhere[key]}].")
        elif (owner := _owner(key, drafts)) is not None:
            warnings.append(_unknown(entry, owner))
        elif orphan := _ORPHAN.fullmatch(key):
            warnings.append(_orphan(entry, orphan["name"], orphan["rest"], entries))
        else:
            drafts[key] = _Draft(entry)
    return drafts, warnings


def _longest_fit(key: str, drafts: Mapping[str, _Draft]) -> tuple[_Draft, str] | None:
    """Find the longest workflow that a key fits, and what the key says behind its name."""
    for end in range(len(key) - 1, 0, -1):
        draft, rest = drafts.get(key[:end]), key[end:]
        if draft is not None and (rest in _OWN or (rest.startswith(_FLAG) and rest != _FLAG)):
            return draft, rest
    return None


def _owner(key: str, drafts: dict[str, _Draft]) -> str | None:
    names = [name for name in drafts if key.startswith(f"{name}_")]
    return max(names, key=len, default=None)


def _unknown(entry: Entry, owner: str) -> str:
    known = [f"{owner}{rest}" for rest in _OWN]
    near = difflib.get_close_matches(entry.key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and {owner}{_FLAG}<flag>."
    return (
        f"{entry.where}: {entry.spelling} is not known and ignored; {hint} "
        f"If it is a workflow of its own, give it a {entry.key}_repo."
    )


def _orphan(entry: Entry, name: str, rest: str, entries: Mapping[str, Entry]) -> str:
    near = difflib.get_close_matches(entry.key, [f"{key}{rest}" for key in entries], n=1)
    hint = f"did you mean {near[0]}?" if near else f"add a line {name} = <folder of its images>."
    return f"{entry.where}: {entry.spelling} is ignored: there is no workflow {name}; {hint}"
