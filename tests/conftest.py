"""What every test may ask for."""

from __future__ import annotations

from tests.lab.fixtures import cluster, database_url, lab, scratch
from tests.postgres import postgres_server, postgres_url

__all__ = ["cluster", "database_url", "lab", "postgres_server", "postgres_url", "scratch"]
