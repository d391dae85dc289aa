"""A person in front of OMERO: logs in, fills in a script dialog, presses Run and waits."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import omero
import omero.callbacks
import omero.rtypes
from omero.gateway import BlitzGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.lab.description import Lab

SCRIPT = "SLURM_Run_Workflow.py"


@contextmanager
def logged_in(lab: Lab, user: str, group: str | None = None) -> Iterator[BlitzGateway]:
    """Log in as a user of the lab's OMERO.

    Parameters
    ----------
    lab : Lab
        The lab.
    user : str
        Login name.
    group : str, optional
        The group to work in; by default the user's own.

    Yields
    ------
    BlitzGateway
        An encrypted connection of its own, closed at the end.
    """
    gateway = BlitzGateway(
        user, lab.omero_users[user], host=lab.omero_host, port=lab.omero_port, group=group, secure=True
    )
    try:
        if not gateway.connect():
            raise AssertionError(f"{user} cannot log in: {gateway.getLastError()}")
        yield gateway
    finally:
        gateway.close()


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """How a script has ended, as OMERO tells it."""

    exit_status: int | None
    job_status: str
    message: str
    outputs: Mapping[str, Any]
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class RunningScript:
    """A script that a person has started."""

    gateway: BlitzGateway
    process: Any

    def exit_status(self) -> int | None:
        """Its exit status, or None while it runs."""
        status = self.process.poll()
        return None if status is None else int(status.getValue())

    def wait(self, timeout_s: float = 300.0, *, each: Callable[[], None] = lambda: None) -> ScriptOutcome:
        """Wait for its end.

        Parameters
        ----------
        timeout_s : float
            How long to wait.
        each : callable
            Is called every half second meanwhile.

        Returns
        -------
        ScriptOutcome
            How it has ended.
        """
        deadline = time.monotonic() + timeout_s
        while (status := self.exit_status()) is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"the script did not end within {timeout_s:.0f} s")
            each()
            time.sleep(0.5)
        results = self.process.getResults(0)
        message = results.get("Message")
        outcome = ScriptOutcome(
            status,
            self.process.getJob().getStatus().getValue().getValue(),
            "" if message is None else message.getValue(),
            {name: omero.rtypes.unwrap(value) for name, value in results.items() if name not in ("stdout", "stderr")},
            _text(self.gateway, results.get("stdout")),
            _text(self.gateway, results.get("stderr")),
        )
        self.process.close(True)
        return outcome


def start_script(gateway: BlitzGateway, inputs: Mapping[str, object], *, name: str = SCRIPT) -> RunningScript:
    """Run a script as the dialog of OMERO.web does.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's connection.
    inputs : mapping
        What was filled in: plain values by parameter name. ``IDs`` become longs, as in OMERO.web.
    name : str
        File name of the script.

    Returns
    -------
    RunningScript
        The script, which runs on Processor-0.
    """
    service = gateway.c.sf.getScriptService()
    script_id = next(script.id.val for script in service.getScripts() if script.name.val == name)
    wrapped = {key: _wrap(key, value) for key, value in inputs.items()}
    return RunningScript(gateway, service.runScript(script_id, wrapped, None))


def _wrap(key: str, value: object) -> Any:
    if key == "IDs" and isinstance(value, list | tuple):
        return omero.rtypes.rlist([omero.rtypes.rlong(item) for item in value])
    return omero.rtypes.wrap(value)


def _text(gateway: BlitzGateway, value: Any) -> str:
    """The text of an OriginalFile among a script's outputs."""
    if value is None:
        return ""
    original = gateway.getObject("OriginalFile", value.getValue().getId().getValue())
    return b"".join(original.getFileInChunks()).decode("utf-8", "replace")
