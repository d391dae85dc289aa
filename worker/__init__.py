"""OMERO.grid Processor worker and Slurm orchestrator.

The rooms of this package and the floors they stand on are described in ``docs/architecture.md``. Importing
``worker`` itself loads nothing else: a script dialog that is parsed must not pay for the engine.
"""
