"""Run the OMERO stand-in alone: ``python -m tests.lab.omero --base DIR --port N [--insecure N]``."""

from tests.lab.omero.prototype.server import main

if __name__ == "__main__":
    main()
