"""Slurm, through a transport: submit, find again, ask, cancel; and a run's log and removal.

Every function makes one round trip per 500 jobs at most. What Slurm does to its clients, and was seen to do: sbatch
may submit although it reports a timeout; a controller that crashes within 5 s of a submission loses the job and
hands its number out again; squeue makes an error of a single job that ended some minutes ago; sacct does not know a
job in its first seconds, and hangs when its database does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.cluster import answers
from worker.cluster.accounting import COLUMNS
from worker.cluster.answers import Accounting, Section
from worker.cluster.fence import check_fence
from worker.cluster.jobscript import sbatch_arguments
from worker.cluster.layout import lines_of, log_beside
from worker.cluster.scripts import script
from worker.cluster.states import JobReport, JobState
from worker.cluster.submission import files_of
from worker.cluster.transport import failure
from worker.cluster.verdict import judge
from worker.errors import NotSent, OutcomeUnknown, SubmissionRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from worker.cluster.jobscript import JobRequest
    from worker.cluster.layout import RunLayout
    from worker.cluster.transport import Transport

CHUNK_JOBS = 500
"""Jobs asked for in one round trip."""

PATIENCE_S = 100.0
"""Patience with the scripts that ask Slurm: they give up on each of its commands, and on others, after 30 s."""

LOOK_BACK = "now-14days"
"""Since when accounting is searched for a job whose number is not known."""

_LOST = re.compile(
    r"socket timed out|unable to contact slurm controller|connection (?:refused|reset|failure)|zero bytes were"
    r"|unexpected message received|controller (?:is )?(?:not responding|unavailable)|munge|authentication"
    r"|transmission|in standby mode|unknown error",
    re.IGNORECASE,
)
"""What sbatch says when it cannot know whether it has submitted."""

_FULL = re.compile(r"MaxSubmitJob|temporarily unable to accept job|resource temporarily unavailable", re.IGNORECASE)
"""What sbatch says when we have too many jobs; it passes."""


@dataclass(frozen=True, slots=True)
class QueryResult(Mapping[int, JobReport]):
    """What is known about some jobs; a mapping from their numbers to `JobReport`.

    Parameters
    ----------
    reports : Mapping[int, JobReport]
        One for each job that was asked for.
    problems : tuple[str, ...]
        What kept us from knowing more, in sentences: a controller or an accounting database that does not answer.
    accounting : str
        Whether accounting has answered: to all questions, or what became of one to which it has not.
    round_trips : int
        How often the cluster was asked.
    """

    reports: Mapping[int, JobReport]
    problems: tuple[str, ...] = ()
    accounting: Accounting = "answered"
    round_trips: int = 1

    def __getitem__(self, job_id: int) -> JobReport:
        return self.reports[job_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)


def submit(transport: Transport, layout: RunLayout, job: JobRequest, *, fence: int = 0) -> int:
    """Make the folders of a run, upload a job script with what it needs, and submit it, in one round trip.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run, the same as in `job`.
    job : JobRequest
        The job.
    fence : int
        Our number. The cluster remembers the greatest that it has seen for a run, and submits nothing under a smaller
        one: a request that was held up, in us or on its way, does no harm when it arrives at last.

    Returns
    -------
    int
        The number of the job.

    Raises
    ------
    Fenced
        If somebody has come with a greater number; nothing was submitted.
    SubmissionRefused
        If Slurm does not take the job, in its own words.
    CommandFailed
        If the job script cannot be written.
    SettingsError, RequestError
        If the job script cannot be written.
    OutcomeUnknown
        If nobody can tell whether the job was submitted: look for its key before doing it again.
    NotSent
        If it was not, and may be submitted again.
    """
    if job.layout != layout:
        raise ValueError(f"The job belongs to run {job.layout.run_id}, not to {layout.run_id}.")
    files = files_of(job)
    sizes = [word for path, text in files.items() for word in (str(path), str(len(text)))]
    command = script(
        "submit",
        *(str(layout.fence), f"{fence:d}", *map(str, layout.folders), "--", *sizes, "--", *sbatch_arguments(job)),
    )
    completed = transport.run(command, stdin=files.values(), timeout_s=PATIENCE_S)
    check_fence(completed)
    status = re.search(r"^sbatch-status (\d+)$", completed.text, re.MULTILINE)
    if status is None:
        raise failure(command, completed.exit_status, completed.error_text)
    if int(status[1]) != 0:
        raise _refusal(completed.error_text or completed.text)
    # Greetings of plugins may stand before the number, never after it.
    numbers = re.findall(r"^(\d+)(?:;\S+)?$", completed.text, re.MULTILINE)
    if not numbers:
        raise OutcomeUnknown(
            f"sbatch ended well but gave no number: {completed.text.strip()!r}.", remedy="Look the job up by its key."
        )
    return int(numbers[-1])


def _refusal(words: str) -> SubmissionRefused | OutcomeUnknown | NotSent:
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in words.splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith("sbatch-status")) or "no message"
    if _FULL.search(words):
        return NotSent(f"Slurm takes no more jobs of ours at the moment: {said}.", remedy="It is tried again later.")
    if _LOST.search(words):
        return OutcomeUnknown(f"sbatch had no answer from Slurm: {said}.", remedy="Look the job up by its key.")
    return SubmissionRefused(
        f"Slurm does not take the job: {said}.",
        remedy="Correct the sbatch_ and _job_ settings of slurm-config.ini (partition, time, memory, account).",
    )


def find_by_key(
    transport: Transport, key: str, *, layout: RunLayout | None = None, fence: int | None = None
) -> list[int]:
    """Find our jobs that carry a key, whether they wait, run, or have ended.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    key : str
        The key of a submission.
    layout : RunLayout, optional
        The run, so that exit files are looked at as well; helps on a cluster without accounting.
    fence : int, optional
        Our number; with a layout only. From here on the cluster submits nothing under a smaller one, and a submission
        that is in flight is waited for, so that what is not found now will not be there later.

    Returns
    -------
    list[int]
        Their numbers, ascending; empty only if Slurm has answered cleanly that there are none. A job can be submitted
        and not yet be listed anywhere for some seconds, so that one empty answer proves nothing.

    Raises
    ------
    NotSent
        If Slurm does not answer the question.
    Fenced
        If somebody has come with a greater number.
    """
    if not key:
        raise ValueError("An empty key finds every job.")
    number = f"{fence:d}" if layout and fence is not None else ""
    command = script("find_by_key", key, LOOK_BACK, str(layout.status) if layout else "", number)
    completed = transport.run(command, timeout_s=PATIENCE_S)
    check_fence(completed)
    completed.check()
    found = answers.sections(completed.stdout)
    jobs = {
        answers.base_id(row)
        for name, section in found.items()
        for row in section.rows
        if name == "exit_file" or answers.is_of(key, row)
    }
    if not jobs:
        problems = _problems(found)
        if problems:
            raise NotSent(" ".join(problems), remedy="The look-up is repeated later.")
    return sorted(jobs)


def query(
    transport: Transport,
    job_ids: Sequence[int],
    exit_files: Mapping[int, PurePosixPath],
    *,
    keys: Mapping[int, str] = MappingProxyType({}),
    ask_accounting: bool = True,
) -> QueryResult:
    """Ask for many jobs at once.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    job_ids : Sequence[int]
        The jobs.
    exit_files : Mapping[int, PurePosixPath]
        Where each job leaves its exit file; its log is found from it.
    keys : Mapping[int, str], optional
        Keys under which jobs were submitted. With them, another job that was given the same number after a crash of
        the controller is told apart.
    ask_accounting : bool, optional
        Whether accounting is asked about those that have ended. While it hangs, asking it takes half a minute.

    Returns
    -------
    QueryResult
        A report for each job, UNKNOWN for those about which nobody knows anything.

    Raises
    ------
    TransportError
        If the cluster cannot be reached.
    """
    reports: dict[int, JobReport] = {}
    problems: dict[str, None] = {}
    accounting: Accounting = "answered"
    wanted = list(dict.fromkeys(job_ids))
    chunks = [wanted[start : start + CHUNK_JOBS] for start in range(0, len(wanted), CHUNK_JOBS)]
    for chunk in chunks:
        # Where accounting has just not answered, the next chunk need not wait for it as well.
        asked = ask_accounting and accounting in ("answered", "disabled")
        part = _query_chunk(transport, chunk, exit_files, keys, ask_accounting=asked)
        reports |= part.reports
        problems |= dict.fromkeys(part.problems)
        accounting = part.accounting if accounting == "answered" else accounting
    return QueryResult(reports, tuple(problems), accounting, len(chunks))


def _query_chunk(
    transport: Transport,
    job_ids: Sequence[int],
    exit_files: Mapping[int, PurePosixPath],
    keys: Mapping[int, str],
    *,
    ask_accounting: bool,
) -> QueryResult:
    lines = []
    for job_id in job_ids:
        path = exit_files.get(job_id)
        files = lines_of([path, log_beside(path)]) if path else ["", ""]
        lines.append("\t".join((str(job_id), *files)) + "\n")
    table = "".join(lines).encode("utf-8", "surrogateescape")
    command = script("query", ",".join(COLUMNS) if ask_accounting else "")
    completed = transport.run(command, stdin=[table], timeout_s=PATIENCE_S).check()
    answer, _, logs = completed.stdout.partition(b"\n== logs\n")
    found = answers.sections(answer)
    queued, accounted = found.get("squeue", Section()), found.get("sacct", Section())
    accounting = answers.accounting_in(accounted) if ask_accounting else "not asked"
    live = answers.from_squeue(queued.rows, keys)
    ended = answers.from_sacct(accounted.rows, keys)
    left, sizes = answers.from_exit_files(found.get("exit_files", Section()).messages, exit_files, keys)
    arrays = answers.progress_by_tasks(found.get("tasks", Section()).rows, keys)
    progress = answers.progress_by_log(logs)
    reports = {}
    for job_id in job_ids:
        report = judge(
            job_id,
            live.get(job_id, {}),
            ended.get(job_id, {}),
            left.get(job_id, {}),
            tasks=sizes.get(job_id),
            queue_answered=not queued.problem,
            accounting=accounting,
        )
        path = exit_files.get(job_id)
        if path and report.state is JobState.RUNNING:
            report = replace(report, progress=arrays.get(job_id) or progress.get(str(log_beside(path))))
        reports[job_id] = report
    return QueryResult(reports, tuple(_problems({"squeue": queued, "sacct": accounted})), accounting)


def _problems(found: Mapping[str, Section]) -> list[str]:
    problems = []
    if problem := found.get("squeue", Section()).problem:
        problems.append(f"Slurm's controller does not answer (squeue: {problem}).")
    accounting = found.get("sacct", Section())
    if answers.accounting_in(accounting) == "silent":
        problems.append(f"Slurm's accounting does not answer (sacct: {accounting.problem}).")
    return problems


def cancel(transport: Transport, job_ids: Sequence[int]) -> None:
    """Take jobs off the cluster, whether they wait or run; those that have ended are left alone.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    job_ids : Sequence[int]
        The jobs.

    Raises
    ------
    NotSent
        If Slurm does not answer; it may be done again.
    CommandFailed
        If Slurm refuses.
    """
    for start in range(0, len(job_ids), CHUNK_JOBS):
        completed = transport.run(["scancel", *(f"{job_id:d}" for job_id in job_ids[start : start + CHUNK_JOBS])])
        if completed.exit_status != 0 and _LOST.search(completed.error_text):
            raise NotSent(f"Slurm does not answer: {completed.error_text}.", remedy="Cancelling is tried again.")
        # A job that has ended meanwhile is what we wanted.
        if not re.search(r"invalid job id|already comp", completed.error_text, re.IGNORECASE):
            completed.check()


def read_log(transport: Transport, layout: RunLayout, job_id: int, *, tail_lines: int | None = None) -> bytes:
    """Read the log of a job.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.
    job_id : int
        The job.
    tail_lines : int, optional
        Only so many lines from its end.

    Returns
    -------
    bytes
        The log, as the analysis wrote it.

    Raises
    ------
    CommandFailed
        If there is none (yet).
    """
    path = str(layout.log(job_id))
    command = ["cat", "--", path] if tail_lines is None else ["tail", "-n", str(tail_lines), "--", path]
    return transport.run(command).check().stdout


def free_bytes(transport: Transport, path: PurePosixPath) -> int:
    """Ask how much room there is on a disk of the cluster.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    path : PurePosixPath
        Something on that disk.

    Returns
    -------
    int
        Bytes that we may still write; quotas of the file system are not always part of it.

    Raises
    ------
    CommandFailed
        If there is nothing of that name.
    """
    # POSIX: a line of titles, then device, size, used, available (in KiB), used in per cent, and where it is mounted.
    # There may be blanks in the first and in the last. On a disk that has no size the percentage is "-".
    line = transport.run(["df", "-P", "-k", "--", str(path)]).check().text.splitlines()[-1]
    match = re.search(r"\s\d+\s+\d+\s+(\d+)\s+(?:\d+%|-)\s", line)
    return int(match[1]) * 1024 if match else 0
