"""Slurm over SSH: transport, quoting, commands, states, job scripts and streams."""
