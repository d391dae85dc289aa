"""Whether a cluster has everything that runs need, in one round trip; each answer with a remedy."""

from __future__ import annotations

import difflib
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.cluster.report import Item
from worker.cluster.scripts import script
from worker.settings.amounts import duration_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.cluster.transport import Transport

PATIENCE_S = 100.0
"""Patience with the script, each of whose commands is given up after 20 s at most."""

SILENT = 124
"""Exit status of timeout(1) for a program that took too long."""

SKEW_S = 30
"""Difference of clocks, in seconds, above which times in records are misleading."""

LOW_BYTES = 10 * 10**9
"""Room below which a disk may be full after a run or two."""

LOW_FILES = 10_000
"""Files below which a disk may be full after a run or two: chunks of OME-Zarr are files."""

_REMEDIES = {
    SILENT: "Ask the admins of the cluster whether its controller and its accounting database run.",
    126: "Ask the admins of the cluster whether the account may run it.",
    127: "Make it available to non-interactive logins (PATH in ~/.bashrc, or sshd's SetEnv).",
}
_OTHERWISE = "It is there, but does not work: ask the admins of the cluster."
_WITHOUT_ACCOUNTING = "Without accounting, the end of a job is told by its exit file alone."
_DOWN = re.compile(r"down|drain|fail|maint|power|reserv|unknown", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Questions:
    """What the settings need of a cluster.

    Parameters
    ----------
    host : str
        How the settings call it, for persons.
    folders : Mapping[str, str]
        From what a folder is for to its path.
    submissions : Mapping[str, tuple[str, ...]]
        From what a job is for to the arguments that sbatch would get.
    modules : tuple of str
        Modules that jobs load.
    """

    host: str
    folders: Mapping[str, str]
    submissions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modules: tuple[str, ...] = ()


def inspect_cluster(transport: Transport, questions: Questions) -> list[Item]:
    """Look at a cluster, and change nothing.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    questions : Questions
        What is needed of it.

    Returns
    -------
    list of Item
        One for each thing, with a remedy for what is not as it should be.

    Raises
    ------
    TransportError
        If the cluster cannot be reached, or does not let us in.
    """
    paths = {what: path.removeprefix("~/") for what, path in questions.folders.items()}
    merged: dict[tuple[str, ...], list[str]] = {}
    for what, arguments in questions.submissions.items():
        merged.setdefault(arguments, []).append(what)
    groups = [[", ".join(who), *arguments] for arguments, who in merged.items()]
    text = "".join("".join(f"{_line(word)}\n" for word in group) + "\n" for group in groups)
    command = script("inspect", " ".join(questions.modules), *dict.fromkeys(map(_line, paths.values())))
    before = time.time()
    answer = transport.run(command, stdin=[text.encode("utf-8", "surrogateescape")], timeout_s=PATIENCE_S).check().text
    found = _sections(answer)
    return [
        *_login(found, questions.host, before, time.time()),
        *_programs(found),
        *_configuration(found),
        *_submissions(found, groups),
        *_partitions(found, groups),
        *_runtime(found),
        *_folders(found, paths),
    ]


def _line(word: str) -> str:
    if "\n" in word or "\t" in word:
        raise ValueError(f"{word!r} has a new line or a tab in it.")
    return word


def _sections(answer: str) -> dict[str, list[list[str]]]:
    """Split the answer into sections of rows of columns."""
    found: dict[str, list[list[str]]] = {}
    for line in answer.split("\n"):
        if match := re.fullmatch(r"== (\w+)", line):
            rows = found.setdefault(match[1], [])
        elif line:
            rows.append(line.split("\t"))
    return found


def _asked(rows: list[list[str]]) -> tuple[list[str], int]:
    """Lines of an answer of Slurm, and its exit status."""
    lines = ["\t".join(row) for row in rows]
    return [line for line in lines[:-1] if line], int(rows[-1][1])


def _login(found: dict[str, list[list[str]]], host: str, before: float, after: float) -> Iterator[Item]:
    ((user, node, clock),) = found["login"]
    yield Item("ssh", "ok", f"logged in at {host} ({node}) as {user}")
    # The clock was read between the two, and cut off to seconds.
    skew_s = max(before - float(clock) - 1, float(clock) - after, 0.0)
    if skew_s > SKEW_S:
        ahead = "behind" if before > float(clock) else "ahead of"
        yield Item(
            "clock",
            "warning",
            f"the clock of {node} is {skew_s:.0f} s {ahead} ours",
            "Let both machines follow a time server; until then, times of jobs in the record are misleading.",
        )
    else:
        yield Item("clock", "ok", "the same time as here")


def _programs(found: dict[str, list[list[str]]]) -> Iterator[Item]:
    """Versions of Slurm's commands, and whether what they talk to answers."""
    talks = {name: _asked(found[name]) for name in ("squeue", "sacct", "sinfo")}
    for name, status_text, said in found["programs"]:
        status, words = int(status_text), said
        if status == 0 and name in talks and talks[name][1] != 0:
            status, words = talks[name][1], " ".join(talks[name][0])
        if status == 0:
            yield Item(name, "ok", said)
            continue
        detail = f"{name} ended with status {status}: {words or 'no message'}"
        if status == SILENT:
            detail = f"{name} had no answer in time"
        remedy = _REMEDIES.get(status, _OTHERWISE)
        if name == "sacct":
            yield Item(name, "warning", detail, f"{_WITHOUT_ACCOUNTING} {remedy}")
        else:
            yield Item(name, "failed", detail, remedy)


def _configuration(found: dict[str, list[list[str]]]) -> Iterator[Item]:
    """What Slurm's own configuration means for us."""
    lines, status = _asked(found["config"])
    if status != 0:
        return  # said of scontrol
    config = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    storage = config.get("AccountingStorageType", "")
    if storage.endswith("/slurmdbd"):
        yield Item("accounting", "ok", f"slurmdbd, cluster {config.get('ClusterName', '')}")
    else:
        yield Item(
            "accounting",
            "warning",
            f"this cluster keeps no account of jobs (AccountingStorageType is {storage or 'not set'})",
            f"{_WITHOUT_ACCOUNTING} What jobs have used is not known.",
        )
    size = config.get("MaxArraySize", "")
    if size.isdecimal() and int(size) > 1:
        yield Item("job arrays", "ok", f"up to {int(size) - 1} tasks")
    else:
        yield Item(
            "job arrays",
            "warning",
            f"MaxArraySize is {size or 'not known'}: there are no job arrays",
            "Ask the admins of the cluster for them: conversions of many images are arrays.",
        )


def _submissions(found: dict[str, list[list[str]]], groups: list[list[str]]) -> Iterator[Item]:
    """Whether sbatch would take the jobs."""
    for (what, status, said), arguments in zip(found["submissions"], groups, strict=True):
        name = f"jobs of {what}"
        words = re.sub(r"^sbatch: (?:error: )?", "", said)
        if status == "0":
            # It says when the job would start, on which nodes, and last in which partition.
            match = re.search(r"in partition (\S+)", said)
            where = f" in partition {match[1]}" if match else ""
            if match and (limit := _shorter_limit(found, match[1], arguments)):
                detail = f"sbatch would take them{where}, but they would wait for ever: it gives {limit} at most"
                yield Item(name, "warning", detail, "Ask for less time (<workflow>_job_time, sbatch_time).")
            else:
                yield Item(name, "ok", f"sbatch would take them{where}")
        elif int(status) == SILENT:
            yield Item(name, "failed", "sbatch had no answer in time", _REMEDIES[SILENT])
        else:
            words = words.replace("sbatch: error: ", "").replace("allocation failure: ", "")
            yield Item(name, "failed", f"sbatch would refuse them: {words}", _submission_remedy(words, found))


def _shorter_limit(found: dict[str, list[list[str]]], partition: str, arguments: list[str]) -> str:
    """The time limit of a partition, if jobs ask for more: Slurm takes them all the same, unless it enforces limits."""
    asked = next((word.removeprefix("--time=") for word in arguments if word.startswith("--time=")), "")
    limit = next((row[5] for row in _rows_of_sinfo(found) if row[0] == partition), "")
    try:
        return limit if duration_s(asked) > duration_s(limit) else ""
    except ValueError:
        return ""  # "infinite", or sbatch knows better


def _submission_remedy(words: str, found: dict[str, list[list[str]]]) -> str:
    partitions = _rows_of_sinfo(found)
    if re.search(r"account|association|qos", words, re.IGNORECASE):
        accounts, status = _asked(found["accounts"])
        known = f" Accounts of this login: {', '.join(dict.fromkeys(accounts))}." if status == 0 and accounts else ""
        return f"Set sbatch_account (and sbatch_qos) in slurm-config.ini, or ask for the account to be added.{known}"
    if re.search(r"partition", words, re.IGNORECASE) and partitions:
        names = list(dict.fromkeys(row[0] for row in partitions))
        wrong = re.search(r"specified: (\S+)", words)
        near = difflib.get_close_matches(wrong[1], names, n=1) if wrong else []
        hint = f"Did you mean {near[0]}? " if near else ""
        return f"{hint}Partitions there are: {', '.join(names)}. Correct the _partition keys of slurm-config.ini."
    if re.search(r"gres|generic resource|node configuration", words, re.IGNORECASE):
        gres = dict.fromkeys(f"{row[4]} in {row[0]}" for row in partitions if row[4] != "(null)")
        return (
            "No node has what is asked for together: look at gres or gpus, mem, cpus-per-task and partition. "
            f"GRES there are: {', '.join(gres) or 'none'}."
        )
    if re.search(r"time limit", words, re.IGNORECASE):
        return "Ask for less time (<workflow>_job_time, sbatch_time), or for another partition."
    return "Correct the sbatch_ and _job_ settings of slurm-config.ini."


def _rows_of_sinfo(found: dict[str, list[list[str]]]) -> list[list[str]]:
    lines, status = _asked(found["sinfo"])
    rows = [line.split("|") for line in lines] if status == 0 else []
    return [[row[0].rstrip("*"), *row[1:]] for row in rows if len(row) == 6]


def _partitions(found: dict[str, list[list[str]]], groups: list[list[str]]) -> Iterator[Item]:
    """Whether the partitions that jobs name have a node that works."""
    rows = _rows_of_sinfo(found)
    named = [word.removeprefix("--partition=") for group in groups for word in group if word.startswith("--partition=")]
    for name in dict.fromkeys(part for value in named for part in value.split(",")):
        own = [row for row in rows if row[0] == name]
        what = f"partition {name}"
        if not own:
            continue  # said of the jobs
        working = sum(int(row[2]) for row in own if not _DOWN.search(row[3]))
        if own[0][1] != "up":
            yield Item(what, "failed", f"its state is {own[0][1]}", "Name another one, or ask the cluster's admins.")
        elif not working:
            states = ", ".join(f"{row[2]} {row[3]}" for row in own)
            yield Item(
                what, "warning", f"no node of it works ({states}), so that jobs wait", "Ask the cluster's admins."
            )
        else:
            yield Item(what, "ok", f"up, {working} node{'s' if working > 1 else ''}")


def _runtime(found: dict[str, list[list[str]]]) -> Iterator[Item]:
    rows = {row[0]: row[1:] for row in found["runtime"]}
    if "modules" in rows:
        yield Item(
            "modules",
            "failed",
            f"they cannot be loaded: {rows['modules'][0]}",
            "Correct slurm_modules; `module avail` lists what there is.",
        )
    if "runtime" in rows:
        yield Item("containers", "ok", f"{rows['runtime'][1]} ({rows['runtime'][0]}) on the login node")
    else:
        yield Item(
            "containers",
            "warning",
            "neither apptainer nor singularity on the login node, nor do modules give one",
            "Jobs look for them on the compute nodes; make sure that they are there (slurm_modules names modules), "
            "and set slurm_image_pull_via_sbatch.",
        )


def _folders(found: dict[str, list[list[str]]], paths: Mapping[str, str]) -> Iterator[Item]:
    rows = {row[0]: row[1:] for row in found["folders"]}
    over = " ".join(" ".join(row) for row in found["quota"])
    if over:
        yield Item("quota", "failed", over, "Make room, or ask the admins of the cluster for more.")
    for what, path in paths.items():
        state, kib, inodes, writable, locks, system, exceeded = rows[path]
        room = f"{int(kib) * 1024 / 10**9:.1f} GB free" if kib.isdecimal() else "free space not known"
        full = kib.isdecimal() and int(kib) < 64
        no_files = inodes.isdecimal() and 0 < int(inodes) < LOW_FILES
        if exceeded:
            yield Item(what, "failed", f"the quota at {path} is used up: {exceeded}", "Make room, or ask for more.")
        elif full:
            yield Item(what, "failed", f"no space left on the disk of {path}", "Make room, or name another folder.")
        elif writable == "no":
            yield Item(
                what, "failed", f"nothing can be written to {path}", "Let the account write there, or correct the path."
            )
        elif state == "missing":
            yield Item(what, "warning", f"{path} is not there yet", "Run `omero-worker cluster init`.")
        elif kib.isdecimal() and int(kib) * 1024 < LOW_BYTES:
            yield Item(what, "warning", f"{path}: only {room}", "Make room before the next large run.")
        elif no_files:
            yield Item(what, "warning", f"{path}: room for {inodes} files only", "Make room: OME-Zarr is many files.")
        else:
            yield Item(what, "ok", f"{path}: {room}")
        if what == "data folder" and writable == "yes" and locks == "no":
            yield Item(
                "file locks",
                "warning",
                f"{path} ({system}) knows no locks",
                "Runs work without; ask the admins of the cluster for flock (Lustre: mount option flock).",
            )
