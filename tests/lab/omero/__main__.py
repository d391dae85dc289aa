"""Run the OMERO stand-in alone: ``python -m tests.lab.omero --base DIR --port N [--insecure N]``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run the server until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.omero", description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="everything is kept in the directory omero below it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="port with TLS")
    parser.add_argument("--insecure", type=int, default=0, help="port without TLS")
    parser.add_argument("--scripts", type=Path, help="directory of official scripts, which appear below /biomero")
    parser.add_argument("--property", action="append", default=[], metavar="NAME=VALUE", help="of the server")
    parser.add_argument("--internal", default="", help="endpoint for the servers of a grid")
    parser.add_argument("--locator", default="", help="proxy of a grid's locator")
    parser.add_argument("--router-insecure", default="", help="proxy of another router without TLS")
    parser.add_argument("--calls", type=Path, help="write at the end how often each operation was called")
    parser.add_argument("--verbose", action="store_true")
    # icegridnode appends --Ice.Config=...
    options, ice = parser.parse_known_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    from tests.lab.omero.serving.server import Options, run

    run(
        Options(
            data=options.base.absolute() / "omero",
            host=options.host,
            port=options.port,
            insecure_port=options.insecure,
            internal=options.internal,
            locator=options.locator,
            router_insecure=options.router_insecure,
            scripts={"biomero": options.scripts.absolute()} if options.scripts else {},
            configuration=dict(item.partition("=")[::2] for item in options.property),
            ice_configuration=[
                file for item in ice if item.startswith("--Ice.Config=") for file in item[13:].split(",")
            ],
            calls_file=options.calls,
        )
    )


if __name__ == "__main__":
    main()
