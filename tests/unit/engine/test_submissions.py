"""What is recorded of a job before it is submitted."""

from __future__ import annotations

import pytest

from worker.engine.request import WorkflowChoice
from worker.engine.submissions import changed_descriptor, shown_options


def test_a_descriptor_that_has_changed_since_it_was_shown_is_told() -> None:
    choice = WorkflowChoice(name="nuclei", version="v1", descriptor_sha256="a" * 64)
    note = changed_descriptor(choice, "b" * 64)
    assert "The descriptor of nuclei has changed since the run was asked for" in note
    assert "aaaaaaaaaaaa…, now bbbbbbbbbbbb…" in note


@pytest.mark.parametrize(("shown", "now"), [("a" * 64, "a" * 64), ("", "b" * 64), ("a" * 64, "")])
def test_what_has_not_changed_or_is_not_known_is_not_mentioned(shown: str, now: str) -> None:
    choice = WorkflowChoice(name="nuclei", version="v1", descriptor_sha256=shown)
    assert changed_descriptor(choice, now) == ""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("ALL", "ALL"),
        ("NONE", "NONE"),
        (None, None),
        ("ALL,WANDB_API_KEY=hunter2", "ALL,WANDB_API_KEY=********"),
        ("A=hunter2,B=x,C", "A=********,B=********,C"),
        ("A='x,hunter2',B", "A=********,B"),
        ("TOKEN=hunter2;hunter2", "TOKEN=********"),
    ],
)
def test_of_exported_variables_only_the_names_are_recorded(given: str | None, shown: str | None) -> None:
    options = shown_options({"export": given, "mem": "5G"})
    assert options == {"export": shown, "mem": "5G"}
    assert "hunter2" not in str(options)
