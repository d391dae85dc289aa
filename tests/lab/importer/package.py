"""What the released importer itself makes of a database: a program for its own interpreter, which knows nothing of us.

It reads commands from standard input, each a list in JSON on a line of its own, and answers each with a line of JSON:
``["open", url]``: make its tables there, and begin to work with them; answers with what it calls stages and tables;
``["poll"]``: start its poller; ``["taken"]``: stop it, and answer with the orders that it would have imported;
``["restart"]``: do what it does at its start with orders that were not finished;
``["complete", uuid]``, ``["fail", uuid, reason]``: say what it says at the end of an order.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import Future
from typing import Any

from biomero_importer import main as service
from biomero_importer.utils import ingest_tracker, initialize
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

_STAGES = ("NEW_ORDER", "INGEST_STARTED", "PREPROCESSING", "IMPORTED", "INGEST_FAILED")
_POLL_S = 0.05


class Executor:
    """Keeps what the poller hands over, and does nothing with it."""

    def __init__(self) -> None:
        self.packages: list[dict[str, Any]] = []

    def submit(self, task: Any) -> Future[None]:
        """Take an order that was validated and made a package of."""
        self.packages.append(dict(task.__self__.data_package.data))
        return Future()


class Package:
    """The importer's classes, one method for each command."""

    def __init__(self) -> None:
        self._executor = Executor()
        self._poller: Any = None

    def open(self, url: str) -> dict[str, Any]:
        if not ingest_tracker.initialize_ingest_tracker({"ingest_tracking_db": url}):
            sys.exit("the tracker does not start")
        tables = [ingest_tracker.IngestionTracking.__table__, ingest_tracker.Preprocessing.__table__]
        statements: list[Any] = [CreateTable(table) for table in tables]
        statements += [CreateIndex(index) for table in tables for index in table.indexes]
        dialect: Any = postgresql
        return {
            "stages": {name: getattr(ingest_tracker, f"STAGE_{name}") for name in _STAGES},
            "ddl": [str(statement.compile(dialect=dialect.dialect())) for statement in statements],
        }

    def poll(self) -> None:
        self._executor = Executor()
        self._poller = service.DatabasePoller({}, self._executor, poll_interval=_POLL_S)
        self._poller.start()

    def taken(self) -> list[dict[str, Any]]:
        time.sleep(4 * _POLL_S)
        self._poller.stop()
        return self._executor.packages

    def restart(self) -> None:
        initialize.finalize_dangling_orders_and_get_last_id(
            ingest_tracker.get_ingest_tracker(), ingest_tracker.IngestionTracking, days=10
        )

    def complete(self, uuid: str) -> None:
        ingest_tracker.log_ingestion_step(_order(uuid), ingest_tracker.STAGE_IMPORTED)

    def fail(self, uuid: str, reason: str) -> None:
        ingest_tracker.log_ingestion_step(_order(uuid) | {"Description": reason}, ingest_tracker.STAGE_INGEST_FAILED)


def _order(uuid: str) -> dict[str, Any]:
    tracking = ingest_tracker.IngestionTracking
    with ingest_tracker.get_ingest_tracker().Session() as session:
        row = session.query(tracking).filter_by(uuid=uuid).order_by(tracking.id).first()
        return {
            "Group": row.group_name,
            "Username": row.user_name,
            "UUID": row.uuid,
            "DestinationID": row.destination_id,
            "DestinationType": row.destination_type,
            "Files": row.files,
            "FileNames": row.file_names,
        }


def main() -> None:
    """Answer commands until there are no more."""
    package = Package()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(getattr(package, name)(*arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
