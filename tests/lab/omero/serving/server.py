"""The process: endpoints, the reaper of sessions, and a stop that never takes long."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.columns
import omero.ObjectFactoryRegistrar
import omero.rtypes

from tests.lab.omero.blitz import Blitz
from tests.lab.omero.serving.dispatch import called, log
from tests.lab.omero.serving.router import Locator, Manager, Router, Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_STOP_S = 1.0
"""How long the communicator may take to be destroyed; now and then it hangs."""

_REAP_S = 0.5

_PROPERTIES = {
    "Ice.ThreadPool.Server.Size": "8",
    "Ice.ThreadPool.Server.SizeMax": "60",
    "Ice.ThreadPool.Client.Size": "2",
    "Ice.ThreadPool.Client.SizeMax": "20",
    "Ice.MessageSizeMax": "250000",
    "Ice.ACM.Server.Timeout": "600",
    "Ice.ACM.Server.Close": "4",
    "Ice.Warn.Dispatch": "0",
    "Ice.CacheMessageBuffers": "0",
    "Ice.Plugin.IceSSL": "IceSSL:createIceSSL",
    "IceSSL.VerifyPeer": "0",
}


@dataclass(frozen=True, slots=True)
class Options:
    """How a server is started.

    Parameters
    ----------
    data : Path
        Directory of everything that it keeps.
    host : str
        The address on which it listens.
    port, insecure_port : int
        Ports with and without TLS; 0 for none.
    internal : str
        Endpoint for the servers of a grid, such as ``tcp -h 127.0.0.1 -p 34050``.
    locator : str
        Proxy of the locator of an IceGrid, where the server makes itself known.
    router_insecure : str
        What clients are told to use without TLS, if that is another router.
    scripts : mapping
        Directories of official scripts, by the path under which they appear.
    configuration : mapping
        Properties of the server.
    ice_configuration : sequence of str
        Files of Ice properties; icegridnode passes one.
    calls_file : Path, optional
        Where to write at the end how often each operation was called.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    insecure_port: int = 0
    internal: str = ""
    locator: str = ""
    router_insecure: str = ""
    scripts: Mapping[str, Path] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    ice_configuration: Sequence[str] = ()
    calls_file: Path | None = None

    @property
    def endpoints(self) -> str:
        """The endpoints for clients, as Ice writes them."""
        found = [f"ssl -h {self.host} -p {self.port}"] if self.port else []
        if self.insecure_port:
            found.append(f"tcp -h {self.host} -p {self.insecure_port}")
        return ":".join(found)


class Server:
    """A running server.

    Parameters
    ----------
    options : Options
        How it is started.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stop = threading.Event()
        self.blitz = Blitz(options.data, options.scripts, options.configuration)
        router = options.router_insecure
        if not router and options.insecure_port:
            router = f"OMERO.Glacier2/router:tcp -p {options.insecure_port} -h @omero.host@"
        self.blitz.configuration["omero.router.insecure"] = router
        self._communicator = self._make_communicator()

    def _make_communicator(self) -> Any:
        options, initialization = self._options, Ice.InitializationData()
        properties = initialization.properties = Ice.createProperties()
        certificate = make_certificate(options.data)
        settings = _PROPERTIES | {
            "IceSSL.CertFile": str(certificate),
            "IceSSL.KeyFile": f"{certificate}.key",
            "Clients.Endpoints": options.endpoints,
            "Internal.Endpoints": options.internal,
            "Ice.Default.Locator": options.locator,
        }
        for name, value in settings.items():
            if value:
                properties.setProperty(name, value)
        for file in options.ice_configuration:
            properties.load(file)
        communicator = Ice.initialize(initialization)
        omero.ObjectFactoryRegistrar.registerObjectFactory(communicator, None)
        for factory in list(omero.rtypes.ObjectFactories.values()):
            factory.register(communicator)
        return communicator

    def start(self) -> None:
        """Listen, and make the server known to a grid if there is one."""
        blitz = self.blitz
        routes: dict[tuple[str, str], Any] = {}
        names = [("Clients", self._options.endpoints), ("Internal", self._options.internal)]
        adapters = [self._communicator.createObjectAdapter(name) for name, endpoints in names if endpoints]
        for adapter in adapters:
            blitz.switchboard.attach(adapter)
        blitz.switchboard.main.addServantLocator(Locator(blitz, routes), "")
        blitz.switchboard.add(Router(blitz, routes), Ice.Identity("router", "OMERO.Glacier2"))
        blitz.switchboard.add(Manager(blitz), Ice.Identity("BlitzManager", ""))
        blitz.switchboard.add(Verifier(blitz), Ice.Identity("BlitzVerifier", ""))
        for adapter in adapters:
            adapter.activate()
        if self._options.locator:
            register_with_grid(self._communicator, blitz.switchboard.internal)
        threading.Thread(target=self._reap, daemon=True).start()
        log.info("listening: %s %s", self._options.endpoints, self._options.internal)

    def _reap(self) -> None:
        while not self._stop.wait(_REAP_S):
            try:
                self.blitz.sweep()
            except Exception:  # noqa: BLE001  # one failure is no reason for never looking again
                log.exception("closing sessions")

    def wait(self) -> None:
        """Wait until the server is told to stop: by a signal, or through Ice."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        while not self._stop.wait(0.2) and not self._communicator.isShutdown():
            pass

    def stop(self) -> None:
        """Stop; what clients were told is on disk already."""
        self.blitz.stopping = True
        self._stop.set()
        if self._options.calls_file is not None:
            text = json.dumps(called(), indent=1, sort_keys=True)
            self._options.calls_file.write_text(text, encoding="utf-8")
        destroyer = threading.Thread(target=self._communicator.destroy, daemon=True)
        destroyer.start()
        destroyer.join(_STOP_S)
        with contextlib.suppress(RuntimeError):
            self.blitz.store.close()


def run(options: Options) -> None:
    """Run a server until it is told to stop, and end the process."""
    # Ice is C++: where it crashes, the log is to say what Python was doing.
    faulthandler.enable()
    server = Server(options)
    server.start()
    (options.data / "ready").touch()
    try:
        server.wait()
    finally:
        (options.data / "ready").unlink(missing_ok=True)
        server.stop()
        logging.shutdown()
        # Threads of Ice that hang do not keep the process.
        os._exit(0)


def make_certificate(data: Path) -> Path:
    """Make a certificate for TLS, if there is none, and return its file; that of the key has ``.key`` at the end."""
    path = data / "server.pem"
    if not path.exists():
        request = (
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=localhost",
        )
        unfinished = path.with_suffix(".unfinished")
        subprocess.run([*request, "-keyout", f"{path}.key", "-out", str(unfinished)], check=True, capture_output=True)
        unfinished.replace(path)
    return path


def register_with_grid(communicator: Any, adapter: Any) -> None:
    """Let servers of a grid find this one by type, as the descriptors of OMERO do."""
    import IceGrid

    proxy = adapter.createDirectProxy(Ice.Identity("BlitzManager", ""))
    deadline = time.monotonic() + 30
    while True:
        try:
            registry = IceGrid.RegistryPrx.checkedCast(communicator.stringToProxy("IceGrid/Registry"))
            session = registry.createAdminSession("null", "")
            break
        except Ice.LocalException as error:
            if time.monotonic() > deadline:
                raise
            log.info("the registry is not there yet: %s", error)
            time.sleep(0.5)
    try:
        administration = session.getAdmin()
        try:
            administration.addObjectWithType(proxy, "::Glacier2::SessionManager")
        except IceGrid.ObjectExistsException:
            administration.updateObject(proxy)
    finally:
        session.destroy()
