"""The configuration files of the cluster.

Written for Slurm 22.05 (Debian 12); see the manual pages slurm.conf(5), gres.conf(5), cgroup.conf(5) and
slurmdbd.conf(5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.parts import LabContext
    from tests.lab.ports import PortBlock

NODES = 3
"""Nodes of the cluster; the last one has the GPUs."""

CPUS = 4
"""CPUs that each node pretends to have."""

MEMORY_MIB = 4000
"""Memory that each node pretends to have."""

PARTITIONS = ("cpu", "short", "gpu")

HOST = "localhost"
"""The machine's name, as Slurm sees it: a daemon that may not listen on every address listens on that of this name."""

CONTROLLERS = tuple(Path("/sys/fs/cgroup") / name / "cgroup.procs" for name in ("memory", "freezer"))


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the configuration files are made from.

    Parameters
    ----------
    directory : Path
        Everything of Slurm lies below it.
    ports : PortBlock
        The lab's ports.
    database_password : str
        For slurmdbd at MariaDB.
    gpus : tuple of Path
        Device files that pass for GPUs.
    """

    directory: Path
    ports: PortBlock
    database_password: str
    gpus: tuple[Path, ...]

    @property
    def configuration(self) -> Path:
        """Directory of the configuration files."""
        return self.directory / "etc"

    @property
    def munge_socket(self) -> Path:
        """The socket of this cluster's own munged."""
        return self.directory / "munge/socket"

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes, different in each lab: Slurm names control groups of the machine after them."""
        return tuple(f"lab{self.ports.start}n{number}" for number in range(1, NODES + 1))


def slurm_environment(ctx: LabContext) -> dict[str, str]:
    """Return what Slurm's programs need to find this cluster."""
    return {"SLURM_CONF": str(ctx.base / "slurm/etc/slurm.conf")}


def named_localhost(argv: Sequence[str], *, user: str | None = None) -> list[str]:
    """Return the command line that runs a program on a machine called :data:`HOST`.

    The name of a machine stands for 127.0.0.1 on few of them, for 127.0.1.1 or an address of the network on most.
    So whatever is or calls Slurm has a UTS namespace with another name.

    Parameters
    ----------
    argv : sequence of str
        The program and its arguments.
    user : str, optional
        The account it runs as; by default the caller's, which must be root.

    Returns
    -------
    list of str
        To be started by root. The program takes the place of the process that was started.
    """
    rename = ["unshare", "--uts", "sh", "-c", f'hostname {HOST} && exec "$@"', "sh"]
    account = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    return [*rename, *account, *argv]


def has_control_groups() -> bool:
    """Whether jobs can be kept in control groups (version 1), which alone gives the state OUT_OF_MEMORY."""
    return all(os.access(path, os.W_OK) for path in CONTROLLERS)


def slurm_conf(cluster: Cluster) -> str:
    """Return slurm.conf."""
    directory, ports = cluster.directory, cluster.ports
    if has_control_groups():
        confinement = "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup"
    else:
        confinement = "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherParams=OverMemoryKill"
    return f"""\
ClusterName=lab
SlurmctldHost={HOST}(127.0.0.1)
SlurmUser=slurm
SlurmdUser=root
SlurmctldPort={ports["slurmctld"]}
SlurmdPort={ports["slurmd1"]}
AuthType=auth/munge
AuthInfo=socket={cluster.munge_socket}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool/%n
SlurmctldPidFile={directory}/pid/slurmctld.pid
SlurmdPidFile={directory}/pid/slurmd.%n.pid
SlurmctldDebug=info
SlurmdDebug=info
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# Nodes may have more CPUs and memory than this machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=100000,batch_sched_delay=0,default_queue_depth=1000
PriorityType=priority/basic
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobRequeue=1
KillWait=2
CompleteWait=0
EpilogMsgTime=0
MinJobAge=300
MaxJobCount=10000
MaxArraySize=2001
MessageTimeout=10
SlurmctldTimeout=30
SlurmdTimeout=60
BatchStartTimeout=30
{confinement}
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports["slurmdbd"]}
# With munge this is the path of its socket.
AccountingStoragePass={cluster.munge_socket}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment,job_script
{_nodes(cluster)}
{_partitions(cluster)}
"""


def _nodes(cluster: Cluster) -> str:
    lines = []
    for number, name in enumerate(cluster.node_names, start=1):
        gpus = f" Gres=gpu:a100:{len(cluster.gpus)}" if number == NODES else ""
        lines.append(
            f"NodeName={name} NodeHostname={HOST} NodeAddr=127.0.0.1 Port={cluster.ports[f'slurmd{number}']} "
            f"CPUs={CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1 "
            f"RealMemory={MEMORY_MIB}{gpus} State=UNKNOWN"
        )
    return "\n".join(lines)


def _partitions(cluster: Cluster) -> str:
    *plain, with_gpus = cluster.node_names
    nodes = ",".join(plain)
    return f"""\
PartitionName=cpu Nodes={nodes} Default=YES MaxTime=2-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=short Nodes={nodes} MaxTime=00:05:00 DefaultTime=00:01:00 State=UP
PartitionName=gpu Nodes={with_gpus} MaxTime=1-00:00:00 DefaultTime=00:30:00 State=UP"""


def gres_conf(cluster: Cluster) -> str:
    """Return gres.conf: the GPUs of the last node."""
    return "".join(f"NodeName={cluster.node_names[-1]} Name=gpu Type=a100 File={gpu}\n" for gpu in cluster.gpus)


def cgroup_conf() -> str:
    """Return cgroup.conf."""
    return f"""\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainRAMSpace={"yes" if has_control_groups() else "no"}
ConstrainSwapSpace=no
ConstrainCores=no
ConstrainDevices=no
MinRAMSpace=10
"""


def slurmdbd_conf(cluster: Cluster) -> str:
    """Return slurmdbd.conf."""
    return f"""\
AuthType=auth/munge
AuthInfo=socket={cluster.munge_socket}
DbdHost={HOST}
DbdAddr=127.0.0.1
DbdPort={cluster.ports["slurmdbd"]}
SlurmUser=slurm
PidFile={cluster.directory}/pid/slurmdbd.pid
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={cluster.ports["mariadb"]}
StorageUser=slurm
StoragePass={cluster.database_password}
StorageLoc=slurm_acct_db
CommitDelay=0
"""


def database_init(password: str) -> str:
    """Return what MariaDB executes whenever it starts."""
    statements = ["CREATE DATABASE IF NOT EXISTS slurm_acct_db;"]
    for host in ("localhost", "127.0.0.1"):
        statements += [
            f"CREATE USER IF NOT EXISTS 'slurm'@'{host}' IDENTIFIED BY '{password}';",
            f"GRANT ALL ON slurm_acct_db.* TO 'slurm'@'{host}';",
        ]
    return "\n".join(statements) + "\n"
