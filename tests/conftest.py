"""What every test may ask for."""

from __future__ import annotations

from tests.lab.fixtures import cluster, database_url, lab, scratch

__all__ = ["cluster", "database_url", "lab", "scratch"]
