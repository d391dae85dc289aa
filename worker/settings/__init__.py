"""What an admin edits: slurm-config.ini, the environment and secret files, read into frozen models."""
