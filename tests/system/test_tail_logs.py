"""Admins read the engine's log in OMERO; nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from omero.rtypes import rlong

from tests.lab.person import logged_in, start_script

if TYPE_CHECKING:
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

SCRIPT = "Tail_logs.py"


def test_only_admins_read_the_log_and_nothing_but_the_log(lab: Lab) -> None:
    with logged_in(lab, "alice") as alice:
        denied = start_script(alice, {}, name=SCRIPT).wait()
    assert (denied.exit_status, denied.job_status) == (1, "Error")
    assert denied.message.startswith("ACCESS DENIED: ")
    assert "engine" not in denied.stdout
    with logged_in(lab, "root") as root:
        shown = start_script(root, {"Tail_Lines": rlong(2000)}, name=SCRIPT).wait()
        refused = start_script(root, {"Log_Path": "../catalogue.json"}, name=SCRIPT).wait()
    assert shown.exit_status == 0, shown.message
    assert "service_started" in shown.stdout or "catalogue" in shown.stdout, shown.stdout
    assert refused.exit_status == 1
    assert "is not a log file of the worker" in refused.message
