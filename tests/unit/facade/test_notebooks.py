"""The examples of docs/notebooks.md, among them those of the deployment guide that admins have, run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "notebooks.md"


def test_every_example_of_the_page_does_what_it_says(deployment: Path) -> None:
    attempted = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    assert attempted.failed == 0
    assert attempted.attempted > 20
    assert not (deployment / "5").exists(), "a shell has read what was given to run_commands"
