"""The cluster: munge, MariaDB, slurmdbd, slurmctld and three slurmd on one machine."""
