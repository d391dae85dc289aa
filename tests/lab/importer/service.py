"""The released importer as a service that tests start, stop, kill and look at."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
import yaml

from tests.lab.parts import LabContext, PartFailed, plain_environment
from tests.lab.ports import PortBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.lab.description import Lab

NAME: Final = "importer"
"""What its process is called in the lab."""

PENDING, STARTED, COMPLETED, FAILED = "Import Pending", "Import Started", "Import Completed", "Import Failed"

_READY = "READY TO UPLOAD DATA TO OMERO"

_JAVA = """\
#!/bin/sh
# Java, as far as `omero import` needs it.
[ "$1" = -version ] && exit 0
PYTHONPATH={checkout} exec {python} -m tests.lab.importer.client "$@"
"""


def interpreter(checkout: Path) -> Path:
    """Return the Python of the released importer's virtual environment, which is made if it is not there."""
    script = checkout / "tests/lab/install/importer.sh"
    made = subprocess.run([script], check=True, capture_output=True, text=True)
    return type(checkout)(made.stdout.strip()) / "bin/python"


@dataclass(frozen=True, slots=True)
class Order:
    """What is written into the importer's table.

    Parameters
    ----------
    files : sequence of str
        Absolute paths.
    user, group : str
        Whose images they become, and where.
    destination_type, destination_id
        ``"Dataset"`` or ``"Screen"``, and its id.
    uuid : str
        What all rows of the order have in common.
    """

    files: Sequence[str]
    user: str
    group: str
    destination_type: str
    destination_id: int
    uuid: str


class Importer:
    """The importer of one lab.

    Parameters
    ----------
    lab : Lab
        The lab: its OMERO, and its directory below which everything lies.
    database_url : str
        SQLAlchemy URL of its tracking database.
    settings : mapping, optional
        Keys of settings.yml, on top of those that this lab needs.
    name : str
        What its process and its directory are called, where there are several.
    """

    def __init__(
        self, lab: Lab, database_url: str, settings: Mapping[str, object] | None = None, name: str = NAME
    ) -> None:
        self._name = name
        self._lab = lab
        self.database_url = database_url
        self._context = LabContext(lab.base, lab.checkout, PortBlock.of(lab.ports))
        self.directory = self._context.directory(name, mode=0o700)
        self._settings = dict(settings or {})
        self._engine: Any = sa.create_engine(database_url)

    @property
    def storage(self) -> Path:
        """What is ``base_dir`` in settings.yml: the storage that importer, worker and OMERO share."""
        return self.directory / "storage"

    @property
    def settings_file(self) -> Path:
        """Its settings.yml, which the worker reads too."""
        return self.directory / "config/settings.yml"

    @property
    def log_file(self) -> Path:
        """What it has written to standard output and standard error."""
        return self._context.log_directory / f"{self._name}.log"

    def log(self) -> str:
        """Return everything that it has said so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def client_log(self, order_uuid: str) -> str:
        """Return what the import client wrote to standard error while it worked on an order."""
        found = sorted((self.directory / "logs").glob(f"cli.{order_uuid}*.errs"))
        return "".join(path.read_text(encoding="utf-8") for path in found)

    # Starting and ending

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._context.process(self._name) is not None

    def start(self) -> None:
        """Start it, if it does not run, and wait until it looks for orders."""
        if self.running:
            return
        self._write_files()
        said_before = len(self.log())
        self._context.spawn(
            self._name,
            [str(interpreter(self._lab.checkout)), "-m", "biomero_importer.main"],
            self._environment(),
            cwd=self.directory,
        )
        self._context.wait_for(
            "the importer", lambda: _READY in self.log()[said_before:], daemon=self._name, timeout_s=60
        )

    def stop(self) -> None:
        """Stop it in an orderly way: it finishes the orders that it works on (and looks for new ones once more)."""
        self._context.end(self._name, grace_s=60)

    def kill(self) -> None:
        """Kill it with everything that it has started, whatever it is doing."""
        self._context.end(self._name, grace_s=0)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Have it stopped for the length of the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def trouble(self, *, damaged: Sequence[str] = (), slow_s: float = 0.0) -> Iterator[None]:
        """Have files that are no OME-Zarr imported with trouble, for the length of the block.

        Parameters
        ----------
        damaged : sequence of str
            Names of files that the import client takes for damaged.
        slow_s : float
            For how many seconds it does nothing before each file.

        Yields
        ------
        None
            Nothing.
        """
        unfinished = self._trouble_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"damaged": list(damaged), "slow_s": slow_s}), encoding="utf-8")
        unfinished.replace(self._trouble_file)
        try:
            yield
        finally:
            self._trouble_file.unlink(missing_ok=True)

    @property
    def _trouble_file(self) -> Path:
        return self.directory / "trouble.json"

    def close(self) -> None:
        """Stop it for good."""
        self.kill()
        self._engine.dispose()

    def _write_files(self) -> None:
        self._trouble_file.unlink(missing_ok=True)
        for name in ("config", "logs", "home", "bin", "omerodir/lib/client", "omerodir/etc", "storage"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        # `omero import` wants a class path; what is on it does not matter to our java.
        (self.directory / "omerodir/lib/client/none.jar").touch()
        java = self.directory / "bin/java"
        java.write_text(_JAVA.format(checkout=self._lab.checkout, python=sys.executable), encoding="utf-8")
        java.chmod(0o755)
        settings = {
            "log_level": "DEBUG",
            "log_file_path": "logs/app.logs",
            "base_dir": str(self.storage),
            "ingest_tracking_db": self.database_url,
            "max_workers": 2,
            "parallel_upload_per_worker": 2,
            "parallel_filesets_per_worker": 2,
            "skip_all": True,
            "use_register_zarr": True,
            "annotation_namespace": "biomero.import",
        }
        self.settings_file.write_text(yaml.safe_dump(settings | self._settings), encoding="utf-8")
        self.settings_file.chmod(0o600)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.directory / 'bin'}:{plain_environment()['PATH']}",
            "HOME": str(self.directory / "home"),
            "OMERODIR": str(self.directory / "omerodir"),
            "OMERO_HOST": str(self._lab.omero_host),
            "OMERO_PORT": str(self._lab.omero_port),
            "OMERO_USER": "root",
            "OMERO_PASSWORD": self._lab.omero_users["root"],
            "INGEST_TRACKING_DB_URL": self.database_url,
            "IMPORT_TROUBLE": str(self._trouble_file),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
        }

    # Orders

    def order(
        self, files: Sequence[Path], *, user: str, group: str, dataset: int | None = None, screen: int | None = None
    ) -> Order:
        """Write an order into the table, as the docs of the importer have it: without any of its code.

        Parameters
        ----------
        files : sequence of Path
            What is to be imported.
        user, group : str
            OMERO's names of who is to own the images, and where.
        dataset, screen : int, optional
            The one that they are to be put into.

        Returns
        -------
        Order
            What was written.
        """
        kind, target = ("Dataset", dataset) if dataset is not None else ("Screen", screen)
        if target is None:
            raise ValueError("an order goes to a dataset or to a screen")
        order = Order([str(path) for path in files], user, group, kind, target, str(uuid.uuid4()))
        names = [path.name for path in files]
        row = {
            "group_name": group,
            "user_name": user,
            "destination_id": str(target),
            "destination_type": kind,
            "stage": PENDING,
            "uuid": order.uuid,
            "files": json.dumps(order.files),
            "file_names": json.dumps(names if len(names) <= 2 else [names[0], "...", names[-1]]),
        }
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        statement = f"INSERT INTO imports ({columns}, timestamp) VALUES ({values}, now())"  # noqa: S608  # our own names
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement), row)
        return order

    def rows(self, order_uuid: str) -> list[tuple[str, str]]:
        """Return stage and description of every row of an order, oldest first."""
        query = "SELECT stage, coalesce(description, '') FROM imports WHERE uuid = :uuid ORDER BY id"
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query), {"uuid": order_uuid})]

    def stages(self, order_uuid: str) -> list[str]:
        """Return the stages through which an order has gone."""
        return [stage for stage, _ in self.rows(order_uuid)]

    def orders(self, part_of_path: str) -> dict[str, list[str]]:
        """Return the files of the orders that have a text in one of their paths, by their uuid, oldest first."""
        query = "SELECT uuid, files FROM imports WHERE files LIKE :files AND stage = :stage ORDER BY id"
        with self._engine.connect() as connection:
            rows = connection.execute(sa.text(query), {"files": f"%{part_of_path}%", "stage": PENDING})
            return {str(uuid): json.loads(files) for uuid, files in rows}

    def wait(self, order_uuid: str, *stages: str, timeout_s: float = 60.0) -> str:
        """Wait until an order has come to a stage.

        Parameters
        ----------
        order_uuid : str
            The order.
        *stages : str
            Those that are waited for; by default the last ones.
        timeout_s : float
            How long to wait.

        Returns
        -------
        str
            The stage to which it has come.
        """
        wanted = stages or (COMPLETED, FAILED)
        deadline = time.monotonic() + timeout_s
        while True:
            for stage in self.stages(order_uuid):
                if stage in wanted:
                    return stage
            if time.monotonic() > deadline:
                raise PartFailed(f"order {order_uuid} is {self.stages(order_uuid)} after {timeout_s:.0f} s")
            time.sleep(0.1)


def environment(importer: Importer) -> dict[str, str]:
    """Return what a worker's environment needs on top, to work with an importer."""
    secret = importer.directory / "database-url"
    secret.touch(mode=0o600)
    secret.write_text(importer.database_url, encoding="utf-8")
    return {
        "IMPORTER_ENABLED": "true",
        "INGEST_TRACKING_DB_URL_FILE": str(secret),
        "IMPORTER_CONFIG_PATH": str(importer.settings_file),
    }
