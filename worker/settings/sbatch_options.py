"""What is known of sbatch's options: their names, whether they take a value, and which values can never be submitted.

The names are those of sbatch(1) of Slurm 22.05 and of what was added up to 25.05. A cluster may have more, from its
own plugins, so that an unknown one is worth a warning and no more.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.settings.amounts import duration_s, memory_mib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NO_VALUE = frozenset(
    {"contiguous", "external", "help", "hold", "no-requeue", "overcommit", "oversubscribe", "parsable", "quiet",
     "reboot", "requeue", "spread-job", "stepmgr", "test-only", "usage", "use-min-nodes", "verbose", "version", "wait"}
)  # fmt: skip
"""Options that take no value."""

PERHAPS_A_VALUE = frozenset(
    {"consolidate-segments", "exclusive", "get-user-env", "nice", "no-kill", "propagate", "resv-ports"}
)
"""Options that may stand with a value or without."""

_COUNTS = frozenset(
    {"cores-per-socket", "cpus-per-gpu", "cpus-per-task", "delay-boot", "mincpus", "ntasks", "ntasks-per-core",
     "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-socket", "segment", "sockets-per-node", "threads-per-core"}
)  # fmt: skip
_MEMORY = frozenset({"mem", "mem-per-cpu", "mem-per-gpu", "tmp"})
_TIMES = frozenset({"time", "time-min"})
_TEXT = frozenset(
    {"account", "acctg-freq", "array", "batch", "bb", "bbf", "begin", "chdir", "cluster", "cluster-constraint",
     "clusters", "comment", "constraint", "container", "container-id", "core-spec", "cpu-freq", "deadline",
     "dependency", "distribution", "error", "exclude", "export", "export-file", "extra", "extra-node-info", "gid",
     "gpu-bind", "gpu-freq", "gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint",
     "input", "job-name", "kill-on-invalid-dep", "licenses", "mail-type", "mail-user", "mcs-label", "mem-bind",
     "network", "nodefile", "nodelist", "nodes", "oom-kill-step", "open-mode", "output", "partition", "power", "prefer",
     "priority", "profile", "qos", "reservation", "signal", "switches", "thread-spec", "tres-bind", "tres-per-task",
     "uid", "wait-all-nodes", "wckey", "wrap"}
)  # fmt: skip
KNOWN = NO_VALUE | PERHAPS_A_VALUE | _COUNTS | _MEMORY | _TIMES | _TEXT
"""Every option."""

RESERVED = frozenset(
    {"array", "chdir", "clusters", "error", "help", "input", "no-requeue", "open-mode", "output", "parsable",
     "requeue", "test-only", "usage", "version", "wait", "wrap"}
)  # fmt: skip
"""What nobody may set: without them a job could not be found again, or its log not be read."""

EXCLUSIVE = (
    frozenset({"mem", "mem-per-cpu", "mem-per-gpu"}),
    frozenset({"cpus-per-task", "cpus-per-gpu"}),
    frozenset({"gres", "gpus", "gpus-per-node", "gpus-per-task"}),
)
"""Of each of these Slurm takes one, so that one from a higher level removes those of lower levels."""

_COUNT = re.compile(r"0*[1-9]\d{0,8}")
_NODES = re.compile(r"\d{1,8}[kmKM]?(-\d{1,8}[kmKM]?)?(:\d{1,8})?([,\d-]*)")
_GPUS = re.compile(r"([A-Za-z][\w.-]*:)?\d{1,6}(,([A-Za-z][\w.-]*:)?\d{1,6})*")
_NO_LIMIT = {"0", "-1", "UNLIMITED", "INFINITE"}


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong with an option.

    Parameters
    ----------
    message : str
        What is wrong.
    remedy : str
        What to do about it.
    fatal : bool
        Whether sbatch is sure to refuse it.
    """

    message: str
    remedy: str
    fatal: bool


def doubt(option: str, value: str | None) -> Doubt | None:
    """Look at an option.

    Parameters
    ----------
    option : str
        Its name, without ``--``.
    value : str | None
        Its value; None where it has none.

    Returns
    -------
    Doubt | None
        What is wrong with it, or None.
    """
    if option not in KNOWN:
        near = difflib.get_close_matches(option, KNOWN, n=1)
        hint = f"Did you mean --{near[0]}?" if near else "See `man sbatch`."
        return Doubt(f"sbatch does not know --{option}, unless a plugin of the cluster does", hint, fatal=False)
    if option in RESERVED:
        return Doubt(f"--{option} is left out, as nobody but the worker may set it", "Remove it.", fatal=False)
    if value is None:
        if option in NO_VALUE | PERHAPS_A_VALUE:
            return None
        return Doubt(f"--{option} needs a value", "Write = and a value behind it.", fatal=True)
    if option in NO_VALUE:
        return Doubt(f"--{option} takes no value, and this one gives it {value!r}", "Remove = and all behind it.", True)
    for options, allowed, reads in _RULES:
        if option in options and not reads(value):
            return Doubt(f"--{option}={value} can never be submitted", f"It must be {allowed}.", fatal=True)
    return None


def contradictions(options: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Find options of which a job can have only one.

    Parameters
    ----------
    options : Iterable[str]
        Options of one level.

    Returns
    -------
    tuple[tuple[str, ...], ...]
        Those that exclude each other, sorted.
    """
    given = frozenset(options)
    return tuple(tuple(sorted(group & given)) for group in EXCLUSIVE if len(group & given) > 1)


def _is_count(text: str) -> bool:
    return _COUNT.fullmatch(text) is not None


def _is_memory(text: str) -> bool:
    return text == "0" or _read(memory_mib, text)


def _is_time(text: str) -> bool:
    return text.upper() in _NO_LIMIT or _read(duration_s, text)


def _read(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return False
    return True


_RULES: tuple[tuple[frozenset[str], str, Callable[[str], bool]], ...] = (
    (_COUNTS, "a whole number of at least 1", _is_count),
    (_MEMORY, "an amount such as 64G or 500M", _is_memory),
    (_TIMES, "a time such as 08:00:00 or 2-00:00:00", _is_time),
    (frozenset({"nodes"}), "a number of nodes such as 1 or 1-4", lambda text: bool(_NODES.fullmatch(text))),
    (
        frozenset({"gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"}),
        "a number of GPUs such as 1 or a100:2",
        lambda text: bool(_GPUS.fullmatch(text)),
    ),
)
