"""Faults in small: some of the cases of ``make faults``, one or two of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import cases, report
from tests.faults.kinds import KINDS
from tests.faults.stage import grounds
from tests.faults.survey import survey
from tests.faults.trying import Trying

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(240),
    # omero-py, when it waits for the deletion at the end.
    pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning"),
]

CHOSEN = """
sigkill@after-StepIntended:export       sigkill@before-JobIdAdded:nuclei       sigkill@after-Omero:import/0
processor-killed@after-SubmissionIntended:nuclei
two-engines@before-Command:submit+1
ssh-cut@before-Command:submit+1         sbatch-reply-lost@before-Command:submit+1
truncated-upload@before-Command:unpack+1500
truncated-download@before-Command:pack+800
clock-jump@after-StepIntended:watch/0+3600
session-expired@after-Omero:import/0
results/sigkill@after-Omero:import/0    results/cancel@before-Command:pack
transfer/sigkill@after-Command:unpack
"""


def test_whatever_goes_wrong_nothing_is_lost_doubled_or_falsely_told(lab: Lab, tmp_path: Path) -> None:
    with grounds(lab) as ground:
        # Only of a transfer it must be known what one without faults leaves.
        surveys = {"transfer": survey(ground, KINDS["transfer"])}
        chosen = [cases.Case.parse(name) for name in CHOSEN.split()]
        outcomes = Trying(ground, surveys, tmp_path, width=6, tell=lambda _: None).all(chosen)
    assert report.clean(outcomes), [(outcome.name, report.sentences(outcome)) for outcome in outcomes]
    assert report.line(outcomes) == f"cases {len(chosen)}, lost 0, doubled 0, false 0"
    # Each fault met its run: there is such a place, and it did not come too late.
    assert [outcome.name for outcome in outcomes if not outcome.struck] == []
