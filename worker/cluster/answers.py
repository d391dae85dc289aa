"""Reading what squeue, sacct and exit files say; nothing here talks to the cluster.

Answers come in sections ``== name``, each of Slurm's commands ending with ``== name-status n``; see the scripts
``query.sh`` and ``find_by_key.sh``. What is not a row is a message to be passed on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from worker.cluster import accounting
from worker.cluster.accounting import JobUsage
from worker.cluster.states import JobReport, JobState, parse_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROGRESS = re.compile(rb"\d{1,3}%")
"""How analyses write their progress to the log."""

_ROW = re.compile(r"\d+[^|\s]*\|")
_HARMLESS = re.compile(r"Invalid job id specified|^\s*$")
"""What squeue says about jobs that ended long ago."""

Tasks = dict[str, JobReport]
"""Reports about a job by the numbers that Slurm gives: ``12``; of an array ``12_3`` and, waiting, ``12_[4-9]``."""

Accounting = Literal["answered", "silent", "disabled", "not asked"]
"""What became of a question to accounting."""

_DISABLED = re.compile(r"accounting storage is disabled", re.IGNORECASE)
"""What sacct says on a cluster without slurmdbd."""


@dataclass(slots=True)
class Section:
    """The answer of one command.

    Parameters
    ----------
    rows : list[str]
        Lines about jobs.
    messages : list[str]
        All other lines.
    status : int
        Exit status of the command; -1 if it is not known to have ended.
    """

    rows: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    status: int = -1

    @property
    def problem(self) -> str:
        """What the command complains about; empty if it has answered."""
        complaints = [line.strip() for line in self.messages if not _HARMLESS.search(line)]
        if self.status == 0 or (self.status == 1 and not complaints and self.messages):
            return ""
        if self.status == 124:  # of timeout(1)
            return "no answer within 30 s"
        return " ".join(complaints) or f"exit status {self.status}"


def accounting_in(section: Section) -> Accounting:
    """Read from the answer of sacct whether it is one.

    Parameters
    ----------
    section : Section
        The answer of sacct; without rows and messages if there was no need to ask.

    Returns
    -------
    str
        Whether it has answered.
    """
    if not section.problem:
        return "answered"
    return "disabled" if _DISABLED.search(section.problem) else "silent"


def sections(stdout: bytes) -> dict[str, Section]:
    """Split an answer.

    Parameters
    ----------
    stdout : bytes
        What a script wrote.

    Returns
    -------
    dict[str, Section]
        By name.
    """
    found: dict[str, Section] = {}
    current = Section()
    for line in stdout.decode("utf-8", "replace").split("\n"):
        if match := re.fullmatch(r"== (\w+)", line):
            current = found.setdefault(match[1], Section())
        elif match := re.fullmatch(r"== (\w+)-status (\d+)", line):
            found.setdefault(match[1], Section()).status = int(match[2])
        elif _ROW.match(line):
            current.rows.append(line)
        else:
            current.messages.append(line)
    return found


def base_id(job: str) -> int:
    """Read the number of a job, or of the array of which it is a task.

    Parameters
    ----------
    job : str
        ``12``, ``12_3``, ``12_[4-9%2]``, ``12+1``.

    Returns
    -------
    int
        12.
    """
    match = re.match(r"\d+", job)
    if match is None:
        raise ValueError(f"{job!r} is not a job.")
    return int(match[0])


def from_squeue(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, Tasks]:
    """Read rows of ``squeue -o '%i|%T|%M|%r|%j'``.

    Parameters
    ----------
    rows : Iterable[str]
        The rows.
    keys : Mapping[int, str]
        Keys of jobs, as far as they are known; a row without the key is another job with the same number.

    Returns
    -------
    dict[int, Tasks]
        By job.
    """
    tasks: dict[int, Tasks] = {}
    for row in rows:
        job, state, elapsed, reason, name = _fields(row, 5)
        number = base_id(job)
        if is_of(keys.get(number, ""), name):
            report = JobReport(
                number,
                parse_state(state),
                elapsed_s=_seconds(elapsed),
                reason="" if reason == "None" else reason,
                source="squeue",
            )
            tasks.setdefault(number, {})[job] = report
    return tasks


def from_sacct(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, Tasks]:
    """Read rows of ``sacct -n -P -D`` with the columns of `worker.cluster.accounting.COLUMNS`.

    Parameters
    ----------
    rows : Iterable[str]
        The rows, several for a job that was requeued or whose number was handed out twice, and those of its steps.
    keys : Mapping[int, str]
        As for `from_squeue`.

    Returns
    -------
    dict[int, Tasks]
        By job; of several rows about a job or task the latest counts, but all for what it has used.
    """
    latest: dict[int, Tasks] = {}
    for row in sorted(accounting.jobs(rows), key=lambda row: row["Submit"]):  # ISO times, so that text sorts as time
        number = base_id(row["JobID"])
        if not is_of(keys.get(number, ""), row["JobName"]):
            continue
        state = parse_state(row["State"])
        code = _exit_code(row["ExitCode"]) if state.terminal else None
        report = JobReport(
            number,
            state,
            exit_code=code,
            elapsed_s=int(row["ElapsedRaw"]) if row["ElapsedRaw"].isdecimal() else None,
            source="sacct",
            usage=accounting.usage_of(row, code),
        )
        jobs = latest.setdefault(number, {})
        known = jobs.get(row["JobID"])
        # Without a key nobody knows whether the earlier row is about the same job.
        if known is not None and known.usage and report.usage and keys.get(number):
            report = replace(report, usage=accounting.earlier_and_last(known.usage, report.usage))
        jobs[row["JobID"]] = report
    return latest


def from_exit_files(
    lines: Iterable[str], exit_files: Mapping[int, PurePosixPath], keys: Mapping[int, str]
) -> tuple[dict[int, Tasks], dict[int, int]]:
    """Read exit files, one per line with its path before it as ``grep -H`` writes them.

    Parameters
    ----------
    lines : Iterable[str]
        The lines.
    exit_files : Mapping[int, PurePosixPath]
        Which job each path belongs to; those of the tasks of an array are beside it.
    keys : Mapping[int, str]
        As for `from_squeue`.

    Returns
    -------
    tuple[dict[int, Tasks], dict[int, int]]
        By job. A file that is damaged, or of another job, tells nothing. And of how many tasks arrays are.
    """
    jobs = {(str(path.parent), path.stem): job for job, path in exit_files.items()}
    found: dict[int, Tasks] = {}
    sizes: dict[int, int] = {}
    for line in lines:
        path, _, text = line.partition(":{")
        file = PurePosixPath(path)
        job = jobs.get((str(file.parent), file.stem.partition("_")[0]))
        content = _content("{" + text)
        if job is None or content is None or not is_of(keys.get(job, ""), content["key"]):
            continue
        code = int(content["exit_code"])
        started, ended = _moment(content.get("start")), _moment(content.get("end"))
        elapsed_s = max(0, int((ended - started).total_seconds())) if started and ended else None
        host = str(content.get("host", ""))
        found.setdefault(job, {})[file.stem] = JobReport(
            job,
            _state_of(code, content),
            exit_code=code,
            elapsed_s=elapsed_s,
            reason=str(content.get("reason", "")),
            source="exit_file",
            usage=JobUsage(elapsed_s, exit_code=code, nodes=(host,) if host else (), started=started, ended=ended),
        )
        if content["tasks"]:
            sizes[job] = content["tasks"]
    return found, sizes


def progress_by_tasks(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, str]:
    """Read how far arrays have come.

    Parameters
    ----------
    rows : Iterable[str]
        ``<job>|<tasks that have ended>|<exit file of one of them>``.
    keys : Mapping[int, str]
        As for `from_squeue`.

    Returns
    -------
    dict[int, str]
        Progress by job, like ``50%``.
    """
    found: dict[int, str] = {}
    for row in rows:
        job, ended, text = _fields(row, 3)
        content = _content(text)
        if content and content["tasks"] and is_of(keys.get(int(job), ""), content["key"]):
            found[int(job)] = f"{min(100, 100 * int(ended) // content['tasks'])}%"
    return found


def progress_by_log(stdout: bytes) -> dict[str, str]:
    """Read the last percentage of each log from the output of ``tail -v``.

    Parameters
    ----------
    stdout : bytes
        The section of logs.

    Returns
    -------
    dict[str, str]
        Progress by path; logs without are left out.
    """
    found: dict[str, str] = {}
    pieces = re.split(rb"(?:^|\n)==> (.+) <==\n", stdout)
    for path, text in zip(pieces[1::2], pieces[2::2], strict=True):
        percentages = PROGRESS.findall(text)
        if percentages:
            found[path.decode("utf-8", "surrogateescape")] = percentages[-1].decode()
    return found


def is_of(key: str, text: str) -> bool:
    """Tell whether a key stands in a text, and not only as the beginning of another key, such as ``key.2``.

    Parameters
    ----------
    key : str
        The key of a submission; an empty one stands in every text.
    text : str
        The name of a job, or a row about it.

    Returns
    -------
    bool
        Whether it does.
    """
    return re.search(rf"{re.escape(key)}(?![\w.-])", text) is not None


def _fields(row: str, count: int) -> Sequence[str]:
    fields = row.split("|", count - 1)
    return fields + [""] * (count - len(fields))


def _seconds(elapsed: str) -> int | None:
    """Read ``[[days-]hours:]minutes:seconds``."""
    match = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", elapsed)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _exit_code(text: str) -> int | None:
    """Read ``code:signal``; a signal counts as 128 + its number."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        return None
    code, signal = int(match[1]), int(match[2])
    return code or (128 + signal if signal else 0)


def _content(text: str) -> dict[str, Any] | None:
    """Read an exit file; None if it is damaged."""
    try:
        content: dict[str, Any] = json.loads(text)
        numbers = {"exit_code": int(content["exit_code"]), "tasks": int(content.get("tasks", 0))}
        return {**content, **numbers, "key": str(content["key"])}
    except (ValueError, KeyError, TypeError):
        return None


def _state_of(code: int, content: Mapping[str, Any]) -> JobState:
    if content.get("reason") == "time limit":
        return JobState.TIMEOUT
    if content.get("signal"):
        return JobState.CANCELLED
    return JobState.FAILED if code else JobState.COMPLETED


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
