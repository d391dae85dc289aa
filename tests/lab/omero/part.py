"""The OMERO side of the lab: the server's stand-in with Processor-0, and OMERO.web."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.omero import grid, web
from tests.lab.omero.security.bootstrap import PASSWORDS, SERVICE_USER
from tests.lab.ports import answers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.parts import LabContext

HOST = "127.0.0.1"
WORKER_PROCESS = "worker.processor.process.WorkerProcess"
"""Class in which Processor-0 runs scripts, once it is there."""

STOCK_PROCESS = "omero.processor.ProcessI"
"""Class in which OMERO's own Processor runs scripts."""


class OmeroPart:
    """The stand-in for OMERO.server, and a real Processor-0 that runs its scripts.

    Parameters
    ----------
    own_processor : bool
        Whether there is to be a Processor-0; without one, scripts wait for that of a grid.
    """

    name = "omero"

    def __init__(self, *, own_processor: bool = True) -> None:
        self._own_processor = own_processor

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        data = ctx.directory("omero", mode=0o700)
        (data / "ready").unlink(missing_ok=True)
        port, insecure = ctx.port("omero"), ctx.port("omero_insecure")
        ctx.spawn(
            "omero",
            [
                *(sys.executable, "-m", "tests.lab.omero", "--base", str(ctx.base)),
                *("--port", str(port), "--insecure", str(insecure), "--scripts", str(ctx.checkout / "scripts")),
                *("--property", f"omero.process.python={process_class()}"),
                *grid_arguments(ctx),
            ],
            cwd=ctx.checkout,
        )
        ctx.wait_for("OMERO", (data / "ready").exists, daemon="omero")
        if self._own_processor:
            self._start_processor(ctx, data)
        service_password = (data / "service-password").read_text(encoding="ascii").strip()
        return {
            "omero_host": HOST,
            "omero_port": port,
            "omero_insecure_port": insecure,
            "omero_users": PASSWORDS | {SERVICE_USER: service_password},
            "omero_service_user": SERVICE_USER,
            "omero_data": str(data),
        }

    def _start_processor(self, ctx: LabContext, data: Path) -> None:
        password_file = data / "root-password"
        password_file.touch(mode=0o600)
        password_file.write_text(PASSWORDS["root"], encoding="ascii")
        directory = ctx.directory("omero/processor", mode=0o700)
        for name in ("tmp", "home", "omerodir/var/log"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        ready = directory / "ready"
        ready.unlink(missing_ok=True)
        ctx.spawn(
            "processor",
            [
                *(sys.executable, "-m", "tests.lab.omero.processor", str(directory)),
                *(HOST, str(ctx.port("omero")), "root", str(password_file)),
            ],
            env=processor_environment(ctx, directory),
            cwd=ctx.checkout,
        )
        ctx.wait_for("Processor-0", ready.exists, daemon="processor")

    def stop(self, ctx: LabContext) -> None:
        ctx.end("processor", grace_s=3)
        ctx.end("omero", grace_s=3)

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses("omero", *(["processor"] if self._own_processor else []))


class WebPart:
    """OMERO.web on the stand-in."""

    name = "web"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        omerodir, port = ctx.directory("web", mode=0o700), ctx.port("web")
        properties = web.settings(HOST, ctx.port("omero"), port, {})
        environment = web.environment(omerodir, [ctx.checkout])
        web.configure(omerodir, properties)
        web.collect_statics(omerodir, environment, properties)
        ctx.spawn("web", web.command(port, omerodir), env=environment, cwd=omerodir)
        ctx.wait_for("OMERO.web", lambda: answers(port), daemon="web")
        return {"web_host": HOST, "web_port": port}

    def stop(self, ctx: LabContext) -> None:
        ctx.end("web", grace_s=3)

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses("web")


def grid_arguments(ctx: LabContext) -> list[str]:
    """Return the arguments that make the server known to the lab's grid, if there is one."""
    port = ctx.facts.get("grid_port")
    if not port:
        return []
    return ["--locator", grid.locator(int(port)), "--internal", f"tcp -h {HOST}"]


def process_class() -> str:
    """Return the value of the server's property ``omero.process.python``."""
    try:
        found = importlib.util.find_spec(WORKER_PROCESS.rpartition(".")[0])
    except ModuleNotFoundError:
        found = None
    return STOCK_PROCESS if found is None else WORKER_PROCESS


def processor_environment(ctx: LabContext, directory: Path) -> dict[str, str]:
    """Return the environment of Processor-0, which it hands on to scripts in parts.

    The lines of ``omero/processor.env`` below the base (``NAME=value``), if there is such a file, come on top.
    """
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(ctx.checkout),
        "HOME": str(directory / "home"),
        "OMERODIR": str(directory / "omerodir"),
        "OMERO_TMPDIR": str(directory / "tmp"),
        "OMERO_HOST": HOST,
        "OMERO_PORT": str(ctx.port("omero")),
        "OMERO_SERVICE_USER": SERVICE_USER,
        "OMERO_SERVICE_PASSWORD_FILE": str(ctx.base / "omero" / "service-password"),
    }
    if ctx.facts.get("postgres_url"):
        environment["SQLALCHEMY_URL"] = str(ctx.facts["postgres_url"])
        environment["PERSISTENCE_MODULE"] = "eventsourcing_sqlalchemy"
    extra = ctx.base / "omero" / "processor.env"
    if extra.exists():
        for line in extra.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                environment[name] = value
    return environment
