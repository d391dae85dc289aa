"""`SlurmClient` where ``from biomero.slurm_client import SlurmClient`` looks for it."""

from worker.facade.client import SlurmClient

__all__ = ["SlurmClient"]
