"""Results in place in a case: a storage of its own, below the one of the importer that all cases share."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
import yaml

from tests.faults.proxy import Proxy
from tests.lab.importer.service import Importer, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.description import Lab
    from tests.system.deployment import Deployment

UNTIL_BEGUN_S = 15.0
"""How long the importer is waited for to begin an order before it is killed all the same."""

PATIENCE_S = 100
"""How long no news of an order are taken: many cases wait for one importer, which works on two orders at a time."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """What one case has of the importer to itself."""

    importer: Importer
    base_dir: Path
    """Where the storage is mounted, as the worker has it; the importer has all of them below its own."""
    proxy: Proxy
    """The way to the importer's database."""

    def orders(self, run_id: str) -> tuple[str, ...]:
        """Orders for results of a run, each as often as it was placed."""
        query = "SELECT uuid FROM imports WHERE files LIKE :files AND stage = 'Import Pending' ORDER BY id"
        engine = sa.create_engine(self.importer.database_url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return tuple(connection.scalars(sa.text(query), {"files": f"%/{run_id}/%"}))

    def archives(self, run_id: str) -> tuple[str, ...]:
        """Folders of results of a run; ``..._42_out`` in such a folder is whole, as it comes there as a whole."""
        return tuple(sorted(path.name for path in self.base_dir.glob(f"*/.analyzed/{run_id}/*")))


@contextmanager
def importing(lab: Lab) -> Iterator[Importer]:
    """Run the released importer for the length of the block."""
    from tests.lab.deployment import DATABASE, create_database

    importer = Importer(lab, create_database(str(lab.postgres_url), DATABASE))
    try:
        importer.start()
        yield importer
    finally:
        importer.close()


@contextmanager
def in_place(importer: Importer, deployment: Deployment) -> Iterator[InPlace]:
    """Let the worker of a case import in place, into a storage of its own."""
    with ExitStack() as stack:
        url = sa.make_url(importer.database_url)
        proxy = Proxy(int(url.port or 0))
        stack.callback(proxy.close)
        deployment.environ.update(environment(importer))
        secret = deployment.directory / "orders-url"
        secret.touch(mode=0o600)
        secret.write_text(url.set(port=proxy.port).render_as_string(hide_password=False), encoding="utf-8")
        base_dir = importer.storage / deployment.directory.name
        base_dir.mkdir()
        settings = yaml.safe_load(importer.settings_file.read_text(encoding="utf-8")) | {"base_dir": str(base_dir)}
        file = deployment.directory / "settings.yml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        deployment.environ["INGEST_TRACKING_DB_URL_FILE"] = str(secret)
        deployment.environ["IMPORTER_CONFIG_PATH"] = str(file)
        deployment.configure("WORKER", importer_timeout_s=str(PATIENCE_S))
        yield InPlace(importer, base_dir, proxy)


@contextmanager
def importer_survives(importer: Importer | None) -> Iterator[None]:
    """Start the importer again, should it have ended during the block."""
    yield
    if importer is not None:
        importer.start()


@contextmanager
def importer_killed(importer: Importer | None, release: Callable[[], None]) -> Iterator[None]:
    """Let runs go on, kill the importer in the midst of an order that it is given, and start it after the block."""
    assert importer is not None
    try:
        with importer.trouble(slow_s=3):
            before = _begun(importer)
            release()
            deadline = time.monotonic() + UNTIL_BEGUN_S
            while _begun(importer) == before and time.monotonic() < deadline:
                time.sleep(0.2)
            importer.kill()
            yield
    finally:
        importer.start()


def _begun(importer: Importer) -> int:
    """How many orders it has begun so far."""
    engine = sa.create_engine(importer.database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("SELECT count(*) FROM imports WHERE stage = 'Import Started'")) or 0)
