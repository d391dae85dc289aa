"""What every test may ask for."""

from __future__ import annotations

from tests.lab.fixtures import cluster, database_url, importer, lab, scratch
from tests.postgres import postgres_server, postgres_url

__all__ = ["cluster", "database_url", "importer", "lab", "postgres_server", "postgres_url", "scratch"]
