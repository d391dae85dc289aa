"""Running a script the way the Processor does, but in an environment of the test's own.

The Processor starts ``python ./script`` with ``ICE_CONFIG`` naming a file that holds the session, and the inputs in the
session's environment. So does this module, so that a test may give the script another database, another
slurm-config.ini or another cluster than the lab's Processor-0 has, and kill it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import omero.clients
import omero.model
import omero.rtypes

from tests.lab.description import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.description import Lab

SCRIPTS = CHECKOUT / "scripts"


@dataclass(frozen=True, slots=True)
class Ended:
    """A script that has ended."""

    exit_status: int
    message: str
    stdout: str
    stderr: str
    outputs: dict[str, Any]


class DirectScript:
    """A script that runs in an environment of the test's own.

    Parameters
    ----------
    lab : Lab
        Where OMERO is.
    user : str
        Whose session the script gets.
    inputs : mapping
        What was filled in.
    environ : mapping
        The environment of the worker, on top of a plain one.
    directory : Path
        Where the script runs.
    group : str, optional
        The group to work in; by default the user's own.
    script : str
        File name of the script.
    """

    def __init__(
        self,
        lab: Lab,
        user: str,
        inputs: Mapping[str, object],
        environ: Mapping[str, str],
        directory: Path,
        *,
        group: str | None = None,
        script: str = "SLURM_Run_Workflow.py",
    ) -> None:
        self._client = omero.client(lab.omero_host, lab.omero_port)
        self._factory = self._client.createSession(user, lab.omero_users[user])
        if group is not None:
            wanted = self._factory.getAdminService().lookupGroup(group).getId().getValue()
            self._factory.setSecurityContext(omero.model.ExperimenterGroupI(wanted, False))
        self._session = self._client.getSessionId()
        for name, value in inputs.items():
            self._client.setInput(name, _wrap(name, value))
        config = directory / "ice.config"
        config.write_text(
            "\n".join(
                (
                    f"omero.user={self._session}",
                    f"omero.pass={self._session}",
                    f"omero.host={lab.omero_host}",
                    f"omero.port={lab.omero_port}",
                )
            ),
            encoding="utf-8",
        )
        config.chmod(0o600)
        self._output = directory / "out"
        self._errors = directory / "err"
        with self._output.open("wb") as out, self._errors.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(next(SCRIPTS.glob(f"*/{script}")))],
                cwd=directory,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(CHECKOUT),
                    "HOME": str(directory),
                    "ICE_CONFIG": str(config),
                    "LANG": "C.UTF-8",
                    **environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def message(self) -> str:
        """What the script says at the moment."""
        value = self._client.getOutput("Message") if "Message" in self._client.getOutputKeys() else None
        return "" if value is None else str(value.getValue())

    def wait_until(self, words: str, timeout_s: float = 120.0) -> str:
        """Wait until the message contains some words.

        Parameters
        ----------
        words : str
            What to wait for.
        timeout_s : float
            How long to wait.

        Returns
        -------
        str
            The message.
        """
        deadline = time.monotonic() + timeout_s
        while words not in (message := self.message()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"the script never said {words!r}; it says {message!r} and wrote {self._errors.read_text()!r}"
                )
            time.sleep(0.1)
        return message

    def wait(self, timeout_s: float = 150.0) -> Ended:
        """Wait for the end of the script.

        Parameters
        ----------
        timeout_s : float
            How long to wait.

        Returns
        -------
        Ended
            How it has ended, and what a person reads.
        """
        try:
            status = self.process.wait(timeout_s)
            return Ended(
                status,
                self.message(),
                self._output.read_text(encoding="utf-8"),
                self._errors.read_text(encoding="utf-8"),
                {name: self._client.getOutput(name) for name in self._client.getOutputKeys()},
            )
        finally:
            self.close()

    def close(self) -> None:
        """End the script, if it still runs, and its session."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._client.closeSession()


def _wrap(name: str, value: object) -> Any:
    if isinstance(value, list) and all(isinstance(item, int) for item in value):  # of ids
        return omero.rtypes.rlist([omero.rtypes.rlong(item) for item in value])
    return omero.rtypes.wrap(value)
