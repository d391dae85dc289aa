"""``python -m tests.lab.importer start|stop|environment``: the importer of a running lab, by hand."""

from __future__ import annotations

import sys

from tests.lab.deployment import DATABASE, create_database
from tests.lab.description import Lab
from tests.lab.importer.service import Importer, environment


def main(word: str) -> None:
    """Start it, stop it, or print what a worker that works with it needs in its environment."""
    lab = Lab.load()
    importer = Importer(lab, create_database(lab.postgres_url or "", DATABASE))
    match word:
        case "start":
            importer.start()
        case "stop":
            importer.stop()
        case "environment":
            sys.stdout.writelines(f"{name}={value}\n" for name, value in environment(importer).items())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
