"""What a job has used, as Slurm's accounting writes it down: rows of jobs, each followed by those of its steps.

Memory is written down for steps alone (``12.batch`` is the job script), everything else for the job too. Times are
those of UTC.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COLUMNS = (
    "JobID",
    "State",
    "ElapsedRaw",
    "ExitCode",
    "Submit",
    "Start",
    "End",
    "Partition",
    "NodeList",
    "AllocCPUS",
    "AllocTRES",
    "CPUTimeRAW",
    "TotalCPU",
    "MaxRSS",
    "JobName",
)
"""What sacct is asked for. The name is last, as only it may have a ``|`` in it."""

MOST_NODES = 4096
"""Nodes of a job that are named one by one."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}


@dataclass(frozen=True, slots=True)
class JobUsage:
    """What a job has used. What nobody knows is None.

    Parameters
    ----------
    elapsed_s : float or None
        For how long it ran, in seconds; of an array, from the first start to the last end.
    cpu_s : float or None
        CPU seconds that it kept others from using: time by CPUs, in all of its runs and array tasks.
    gpu_s : float or None
        The same of GPUs.
    peak_memory_bytes : int or None
        The most memory that one of its processes on a node had.
    exit_code : int or None
        Its exit code, as in `worker.cluster.states.JobReport`.
    nodes : tuple[str, ...]
        Where it ran.
    cpus, gpus : int or None
        How many it had; of an array, the most that a task had.
    partition : str
        Where it was submitted; empty if nobody knows.
    started, ended : datetime or None
        When, in UTC.
    busy_cpu_s : float or None
        CPU seconds during which it computed. Slurm does not know all of a job that was killed.
    """

    elapsed_s: float | None = None
    cpu_s: float | None = None
    gpu_s: float | None = None
    peak_memory_bytes: int | None = None
    exit_code: int | None = None
    nodes: tuple[str, ...] = ()
    cpus: int | None = None
    gpus: int | None = None
    partition: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    busy_cpu_s: float | None = None

    def to_json(self) -> dict[str, object]:
        """Give the values in a form that JSON can hold; times in ISO 8601 with time zone."""
        values: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            if isinstance(value, datetime):
                values[name] = value.isoformat()
        values["nodes"] = list(self.nodes)
        return values


@dataclass(frozen=True, slots=True)
class Row:
    """A row of sacct.

    Parameters
    ----------
    values : Sequence[str]
        One for each of `COLUMNS`.
    steps : list[Row]
        The rows of its steps.
    """

    values: Sequence[str]
    steps: list[Row]

    def __getitem__(self, column: str) -> str:
        return self.values[COLUMNS.index(column)]


def jobs(lines: Iterable[str]) -> Iterator[Row]:
    """Put the rows of steps to that of their job.

    Parameters
    ----------
    lines : Iterable[str]
        What sacct wrote about `COLUMNS`.

    Yields
    ------
    Row
        Of a job, or of a task of an array. There are several of a job that was requeued, or whose number was handed
        out again.
    """
    current: Row | None = None
    for line in lines:
        values = line.split("|", len(COLUMNS) - 1)
        row = Row(values + [""] * (len(COLUMNS) - len(values)), [])
        job, dot, _ = row["JobID"].partition(".")
        if not dot:
            if current is not None:
                yield current
            current = row
        elif current is not None and current["JobID"] == job:
            current.steps.append(row)
    if current is not None:
        yield current


def usage_of(row: Row, exit_code: int | None) -> JobUsage:
    """Read what a job has used.

    Parameters
    ----------
    row : Row
        The row of the job, with those of its steps.
    exit_code : int or None
        Its exit code.

    Returns
    -------
    JobUsage
        What it has used.
    """
    elapsed_s = _number(row["ElapsedRaw"])
    resources = dict(pair.split("=", 1) for pair in row["AllocTRES"].split(",") if "=" in pair)
    # Without resources the job has never had any: the number of CPUs is then what it had asked for.
    gpus = int(resources.get("gres/gpu") or 0)
    busy_s = [_seconds(each["TotalCPU"]) for each in (row, *row.steps)]
    memory = [amount for step in row.steps if (amount := _bytes(step["MaxRSS"])) is not None]
    return JobUsage(
        elapsed_s=elapsed_s,
        cpu_s=_number(row["CPUTimeRAW"]),
        gpu_s=None if elapsed_s is None else gpus * elapsed_s,
        peak_memory_bytes=max(memory, default=None),
        exit_code=exit_code,
        nodes=expand(row["NodeList"]),
        cpus=int(resources["cpu"]) if "cpu" in resources else None,
        gpus=gpus,
        partition=row["Partition"],
        started=_moment(row["Start"]),
        ended=_moment(row["End"]),
        # The row of the job has the sum, unless a step has told more meanwhile.
        busy_cpu_s=max((seconds for seconds in busy_s if seconds is not None), default=None),
    )


def earlier_and_last(earlier: JobUsage, last: JobUsage) -> JobUsage:
    """Add what a job had used before it was requeued.

    Parameters
    ----------
    earlier : JobUsage
        What it used then.
    last : JobUsage
        What it has used since.

    Returns
    -------
    JobUsage
        When, where and how it ended is that of the last run, what it used that of all.
    """
    return JobUsage(
        elapsed_s=last.elapsed_s,
        cpu_s=_sum([earlier.cpu_s, last.cpu_s]),
        gpu_s=_sum([earlier.gpu_s, last.gpu_s]),
        peak_memory_bytes=_most([earlier.peak_memory_bytes, last.peak_memory_bytes]),
        exit_code=last.exit_code,
        nodes=last.nodes,
        cpus=last.cpus,
        gpus=last.gpus,
        partition=last.partition,
        started=last.started,
        ended=last.ended,
        busy_cpu_s=_sum([earlier.busy_cpu_s, last.busy_cpu_s]),
    )


def together(tasks: Sequence[JobUsage], exit_code: int | None) -> JobUsage:
    """Sum up what the tasks of an array have used.

    Parameters
    ----------
    tasks : Sequence[JobUsage]
        One or more.
    exit_code : int or None
        That of the array.

    Returns
    -------
    JobUsage
        Seconds of CPUs and GPUs are added up; of memory, CPUs and GPUs it is the most that a task had.
    """
    started = min((task.started for task in tasks if task.started), default=None)
    ended = max((task.ended for task in tasks if task.ended), default=None)
    longest_s = max((task.elapsed_s for task in tasks if task.elapsed_s is not None), default=None)
    return JobUsage(
        elapsed_s=(ended - started).total_seconds() if len(tasks) > 1 and started and ended else longest_s,
        cpu_s=_sum([task.cpu_s for task in tasks]),
        gpu_s=_sum([task.gpu_s for task in tasks]),
        peak_memory_bytes=_most([task.peak_memory_bytes for task in tasks]),
        exit_code=exit_code,
        nodes=tuple(dict.fromkeys(itertools.chain.from_iterable(task.nodes for task in tasks))),
        cpus=_most([task.cpus for task in tasks]),
        gpus=_most([task.gpus for task in tasks]),
        partition=tasks[0].partition,
        started=started,
        ended=ended,
        busy_cpu_s=_sum([task.busy_cpu_s for task in tasks]),
    )


def expand(nodes: str) -> tuple[str, ...]:
    """Name the nodes of a list one by one.

    Parameters
    ----------
    nodes : str
        As Slurm writes it: ``n[01-03,7],gpu1``.

    Returns
    -------
    tuple[str, ...]
        ``n01``, ``n02``, ``n03``, ``n7``, ``gpu1``; the list as it is if it has very many.
    """
    if nodes in ("", "None assigned", "(null)"):
        return ()
    names: list[str] = []
    for entry in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes):
        pieces = [_range(piece) for piece in re.split(r"\[([^\]]*)\]", entry)[1::2]]
        texts = re.split(r"\[[^\]]*\]", entry)
        for chosen in itertools.product(*pieces):
            names.append("".join(itertools.chain(*zip(texts, (*chosen, ""), strict=True))))
            if len(names) > MOST_NODES:
                return (nodes,)
    return tuple(names)


def _range(text: str) -> Iterable[str]:
    """Give the numbers of ``01-03,7``, as wide as they are written."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if last.isdecimal() and first.isdecimal():
            yield from (f"{number:0{len(first)}d}" for number in range(int(first), min(int(last), 10**6) + 1))
        else:
            yield part


def _number(text: str) -> float | None:
    return float(text) if text.isdecimal() else None


def _seconds(text: str) -> float | None:
    """Read ``[days-][hours:]minutes:seconds[.fraction]``."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)
    if match is None:
        return None
    days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])


def _bytes(text: str) -> int | None:
    """Read an amount of memory such as ``3352K`` or ``1.50G``; what was never measured is empty, or 0."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", text)
    return (round(float(match[1]) * _UNITS[match[2]]) or None) if match else None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:  # "Unknown", "None"
        return None


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
