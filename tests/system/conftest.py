"""What every test of the whole system may ask for."""

from __future__ import annotations

from tests.system.in_place_stage import staged
from tests.system.plate_bench import plates
from tests.system.results_bench import alice, bench, fresh

__all__ = ["alice", "bench", "fresh", "plates", "staged"]
