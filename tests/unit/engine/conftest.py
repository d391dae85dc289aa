"""What the tests of this room stand on."""

from __future__ import annotations

from tests.records import record
from tests.unit.engine.circuit_bench import bench
from tests.unit.engine.played_slurm import clock, slurm, transport, watcher

__all__ = ["bench", "clock", "record", "slurm", "transport", "watcher"]
