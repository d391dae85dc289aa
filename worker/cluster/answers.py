"""Reading what squeue, sacct and exit files say; nothing here talks to the cluster.

Answers come in sections ``== name``, each of Slurm's commands ending with ``== name-status n``; see the scripts
``query.sh`` and ``find_by_key.sh``. What is not a row is a message to be passed on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from worker.cluster import accounting
from worker.cluster.accounting import JobUsage
from worker.cluster.states import JobReport, JobState, aggregate, parse_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import PurePosixPath

PROGRESS = re.compile(rb"\d{1,3}%")
"""How analyses write their progress to the log."""

_ROW = re.compile(r"\d+[^|\s]*\|")
_HARMLESS = re.compile(r"Invalid job id specified|^\s*$")
"""What squeue says about jobs that ended long ago."""

Accounting = Literal["answered", "silent", "disabled", "not asked"]
"""What became of a question to accounting."""

_NO_ACCOUNTING: Mapping[Accounting, str] = {
    "silent": "does not answer",
    "disabled": "is disabled",
    "not asked": "has not answered lately",
}

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


def from_squeue(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, JobReport]:
    """Read rows of ``squeue -o '%i|%T|%M|%r|%j'``.

    Parameters
    ----------
    rows : Iterable[str]
        The rows.
    keys : Mapping[int, str]
        Keys of jobs, as far as they are known; a row without the key is another job with the same number.

    Returns
    -------
    dict[int, JobReport]
        By job, arrays as a whole.
    """
    tasks: dict[int, dict[str, JobReport]] = {}
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
    return {number: aggregate(number, list(reports.values())) for number, reports in tasks.items()}


def from_sacct(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, JobReport]:
    """Read rows of ``sacct -n -P -D`` with the columns of `worker.cluster.accounting.COLUMNS`.

    Parameters
    ----------
    rows : Iterable[str]
        The rows, several for a job that was requeued or whose number was handed out twice, and those of its steps.
    keys : Mapping[int, str]
        As for `from_squeue`.

    Returns
    -------
    dict[int, JobReport]
        By job, arrays as a whole; of several rows about a job the latest counts, but all for what it has used.
    """
    latest: dict[int, dict[str, JobReport]] = {}
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
    return {number: aggregate(number, list(jobs.values())) for number, jobs in latest.items()}


def from_exit_files(
    lines: Iterable[str], exit_files: Mapping[int, PurePosixPath], keys: Mapping[int, str]
) -> dict[int, JobReport]:
    """Read exit files, one per line with its path before it as ``grep -H`` writes them.

    Parameters
    ----------
    lines : Iterable[str]
        The lines.
    exit_files : Mapping[int, PurePosixPath]
        Which job each path belongs to.
    keys : Mapping[int, str]
        As for `from_squeue`.

    Returns
    -------
    dict[int, JobReport]
        By job. A file that is damaged, or of another job, tells nothing.
    """
    jobs = {str(path): job for job, path in exit_files.items()}
    found: dict[int, JobReport] = {}
    for line in lines:
        path, _, text = line.partition(":{")
        job = jobs.get(path)
        if job is None:
            continue
        try:
            content: dict[str, Any] = json.loads("{" + text)
            code, key = int(content["exit_code"]), str(content["key"])
        except (ValueError, KeyError, TypeError):
            continue
        if is_of(keys.get(job, ""), key):
            started, ended = _moment(content.get("start")), _moment(content.get("end"))
            elapsed_s = max(0, int((ended - started).total_seconds())) if started and ended else None
            host = str(content.get("host", ""))
            found[job] = JobReport(
                job,
                _state_of(code, content),
                exit_code=code,
                elapsed_s=elapsed_s,
                reason=str(content.get("reason", "")),
                source="exit_file",
                usage=JobUsage(elapsed_s, exit_code=code, nodes=(host,) if host else (), started=started, ended=ended),
            )
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


def combine(
    job_id: int,
    live: JobReport | None,
    accounted: JobReport | None,
    left: JobReport | None,
    *,
    queue_answered: bool,
    accounting: Accounting = "answered",
) -> JobReport:
    """Decide what is true about a job.

    squeue speaks for what has not ended. What has ended needs a witness: a terminal state, or the exit file that the
    job itself wrote. That nobody lists a job is no witness.

    Parameters
    ----------
    job_id : int
        The job.
    live, accounted, left : JobReport or None
        What squeue, sacct and the exit file say.
    queue_answered : bool
        Whether squeue has answered at all.
    accounting : str
        Whether sacct has.

    Returns
    -------
    JobReport
        The report; UNKNOWN if there is no witness, with the reason, and whether the job is lost.
    """
    if live is not None and not live.state.terminal:
        return live
    witnesses = [report for report in (accounted, live, left) if report is not None and report.state.terminal]
    if witnesses:
        # squeue forgets the tasks of an array one by one, and accounting may not have heard of all yet: of the two,
        # whoever has seen one that failed is right.
        failed = (report for report in witnesses if report is not left and report.state is not JobState.COMPLETED)
        ended = next(failed, witnesses[0])
        if left is None:
            return ended
        # The exit file knows exactly what Slurm knows roughly, and why.
        reason = left.reason or ended.reason
        code = left.exit_code if ended.exit_code in (None, 0) else ended.exit_code
        used = ended.usage or left.usage
        usage = replace(used, exit_code=code) if used else None
        elapsed_s = ended.elapsed_s or left.elapsed_s
        return replace(ended, exit_code=code, reason=reason, elapsed_s=elapsed_s, usage=usage)
    if not queue_answered:
        return accounted or JobReport(job_id, JobState.UNKNOWN, reason="the controller does not answer")
    answered = accounting == "answered"
    if accounted is not None:
        # Either accounting lags by some seconds, or the controller has lost the job and accounting never hears of it.
        reason = f"accounting says {accounted.state.value}, but the controller does not list the job"
    elif answered:
        reason = "neither the controller nor accounting knows the job"
    else:
        reason = f"the controller does not know the job, and accounting {_NO_ACCOUNTING[accounting]}"
    lost = answered and (accounted is None or accounted.state is JobState.PENDING)
    return JobReport(job_id, JobState.UNKNOWN, reason=reason, lost=lost)


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
