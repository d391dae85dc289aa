"""A real IceGrid around the stand-in, for Processors that join it as servers of a node: an optional part of the lab.

It goes before :class:`tests.lab.omero.part.OmeroPart`, which then makes the server known to the grid's registry::

    lifecycle.up(base, parts=[GridPart(), OmeroPart(own_processor=False)])
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from tests.lab.ports import answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.lab.parts import LabContext

HOST = "127.0.0.1"


def locator(port: int) -> str:
    """Return the proxy of a registry's locator."""
    return f"IceGrid/Locator:tcp -h {HOST} -p {port}"


def registry_properties(directory: Path, port: int) -> dict[str, str]:
    """Return the Ice properties of a registry that asks nobody for a password.

    Parameters
    ----------
    directory : Path
        Where it keeps its data.
    port : int
        Where it listens on the loopback address.
    """
    return {
        "IceGrid.InstanceName": "IceGrid",
        "IceGrid.Registry.Client.Endpoints": f"tcp -h {HOST} -p {port}",
        "IceGrid.Registry.Server.Endpoints": f"tcp -h {HOST}",
        "IceGrid.Registry.Internal.Endpoints": f"tcp -h {HOST}",
        "IceGrid.Registry.LMDB.Path": str(directory),
        "IceGrid.Registry.AdminPermissionsVerifier": "IceGrid/NullPermissionsVerifier",
        "IceGrid.Registry.DynamicRegistration": "1",
    }


def node_properties(name: str, directory: Path, port: int) -> dict[str, str]:
    """Return the Ice properties of a node.

    Parameters
    ----------
    name : str
        Its name, which the application's descriptor uses.
    directory : Path
        Where it keeps its data and the output of its servers.
    port : int
        Port of the registry.
    """
    return {
        "Ice.Default.Locator": locator(port),
        "IceGrid.Node.Name": name,
        "IceGrid.Node.Data": str(directory),
        "IceGrid.Node.Endpoints": f"tcp -h {HOST}",
        "IceGrid.Node.Output": str(directory),
        "IceGrid.Node.RedirectErrToOut": "1",
        # Without this, a node of root runs its servers as nobody.
        "IceGrid.Node.AllowRunningServersAsRoot": "1",
    }


def processor_application(node: str, environment: Mapping[str, str], directory: Path) -> str:
    """Return the descriptor of an application that is nothing but Processor-0.

    Parameters
    ----------
    node : str
        Name of the node that runs it.
    environment : mapping
        Environment of the Processor.
    directory : Path
        Its working directory, in which it writes ``var/log``. When that is OMERODIR too, ``etc/ice.config`` in it says
        with ``omero.host`` and ``omero.port`` where the sessions of scripts are joined.
    """
    variables = "".join(f"<env>{name}={value}</env>" for name, value in environment.items())
    properties = {
        "Ice.ImplicitContext": "Shared",
        "Ice.MessageSizeMax": "250000",
        "Ice.ThreadPool.Server.Size": "4",
        "Ice.ThreadPool.Server.SizeMax": "20",
        "omero.logging.level": "20",
        "omero.logging.logsize": "5000000",
        "omero.logging.lognum": "9",
    }
    settings = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items())
    return (
        f'<icegrid><application name="OMERO"><node name={quoteattr(node)}>'
        f'<server id="Processor-0" exe={quoteattr(sys.executable)} activation="always" user="root" '
        f"pwd={quoteattr(str(directory))}><option>-m</option><option>runProcessor</option>{variables}"
        f'<adapter name="ProcessorAdapter" endpoints="tcp -h {HOST}" server-lifetime="true"/>'
        f"<properties>{settings}</properties></server></node></application></icegrid>\n"
    )


def write_properties(path: Path, properties: Mapping[str, str]) -> Path:
    """Write a file of Ice properties, and return its path."""
    text = "".join(f"{name}={value}\n" for name, value in properties.items())
    path.write_text(text, encoding="utf-8")
    return path


def administration(port: int, commands: Sequence[str]) -> list[str]:
    """Return the command that gives commands to a registry."""
    login = [f"--Ice.Default.Locator={locator(port)}", "-u", "null", "-p", "null"]
    return ["icegridadmin", *login, "-e", "; ".join(commands)]


class GridPart:
    """The registry of a grid. Nodes join it from wherever they are."""

    name = "grid"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        port = ctx.port("grid")
        data = ctx.directory("grid/registry", mode=0o700)
        configuration = write_properties(ctx.base / "grid" / "registry.cfg", registry_properties(data, port))
        ctx.spawn("icegridregistry", ["icegridregistry", f"--Ice.Config={configuration}"])
        ctx.wait_for("the grid's registry", lambda: answers(port), daemon="icegridregistry")
        return {"grid_port": port}

    def stop(self, ctx: LabContext) -> None:
        ctx.end("icegridregistry", grace_s=3)

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses("icegridregistry")
