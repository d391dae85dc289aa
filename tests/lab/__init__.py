"""The lab: a real cluster (Slurm, sshd, PostgreSQL, apptainer) and an Ice-level OMERO, on one Debian machine.

``python -m tests.lab up`` starts it, and writes what a test needs to know to ``lab.json`` in its base directory;
:meth:`tests.lab.description.Lab.load` reads that.
"""
