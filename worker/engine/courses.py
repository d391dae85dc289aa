"""The courses that runs of each kind take: which steps, in which order.

================  ========================  ==========================  ========
kind              once, before all          for each job                at last
================  ========================  ==========================  ========
analysis          export (and files)        submit watch fetch import   tidy
transfer          export
file-transfer     files
conversion        prepare                   submit watch                settle
results                                     fetch import                tidy
================  ========================  ==========================  ========
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Course:
    """The steps of a run.

    Parameters
    ----------
    before : tuple of str
        Steps that are taken once, one after the other, before any job is submitted; none where the job has ended.
    branch : tuple of str
        Kinds of the steps of each job, in their order; none where a run has no jobs.
    after : str
        The step that is taken once everything has gone well; empty for none.
    owns_folder : bool
        Whether the run's folder on the cluster is its own, to be removed with it.
    """

    before: tuple[str, ...]
    branch: tuple[str, ...]
    after: str
    owns_folder: bool


ANALYSIS = Course(("export",), ("submit", "watch", "fetch", "import"), "tidy", owns_folder=True)
WITH_FILES = Course(("export", "files"), ANALYSIS.branch, "tidy", owns_folder=True)
TRANSFER = Course(("export",), (), "", owns_folder=True)
FILE_TRANSFER = Course(("files",), (), "", owns_folder=False)
CONVERSION = Course(("prepare",), ("submit", "watch"), "settle", owns_folder=False)
RESULTS = Course((), ("fetch", "import"), "tidy", owns_folder=False)

_BY_KIND: Mapping[str, Course] = {
    "transfer": TRANSFER,
    "file-transfer": FILE_TRANSFER,
    "conversion": CONVERSION,
    "results": RESULTS,
}


def course_of(request: Mapping[str, Any]) -> Course:
    """Choose the course of a run.

    Parameters
    ----------
    request : mapping of str to object
        Its request, as it is recorded.

    Returns
    -------
    Course
        Its steps.
    """
    if any(choice.get("files") for choice in request.get("workflows", ())):
        return WITH_FILES
    return _BY_KIND.get(request.get("kind", ""), ANALYSIS)
