"""Start and stop the cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.lab import ports, processes
from tests.lab.parts import LabContext, PartFailed, run
from tests.lab.slurm import configuration
from tests.lab.slurm.configuration import NODES, Cluster, named_localhost, slurm_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

SLURMD = tuple(f"slurmd{number}" for number in range(1, NODES + 1))
DAEMONS = ("munged", "mariadb", "slurmdbd", "slurmctld", *SLURMD)


class SlurmPart:
    """munge, MariaDB, slurmdbd, slurmctld and three slurmd."""

    name = "slurm"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        cluster = write_configuration(ctx)
        environment = slurm_environment(ctx)
        start_munged(ctx, cluster)
        start_mariadb(ctx, cluster)
        start_slurmdbd(ctx)
        add_to_accounting(ctx, cluster)
        spawn_slurmctld(ctx)
        for daemon, node in zip(SLURMD, cluster.node_names, strict=True):
            (cluster.directory / "spool" / node).mkdir(parents=True, exist_ok=True)
            ctx.spawn(daemon, named_localhost(["/usr/sbin/slurmd", "-D", "-N", node]), environment)
        wait_for_slurmctld(ctx)
        ctx.wait_for("every node", lambda: nodes_ready(ctx), daemon="slurmctld", timeout_s=30)
        home = PurePosixPath(ctx.cluster_home)
        return {
            "slurm_conf": cluster.configuration / "slurm.conf",
            "data_path": home / "my-scratch/data",
            "images_path": home / "my-scratch/singularity_images/workflows",
            "script_path": home / "slurm-scripts",
            "partitions": configuration.PARTITIONS,
            "gpu_partition": "gpu",
        }

    def stop(self, ctx: LabContext) -> None:
        if ctx.process("slurmctld"):
            cancel_jobs(ctx)
        end_jobs(ctx)
        ctx.end("slurmctld", *SLURMD, grace_s=2)
        end_jobs(ctx)
        ctx.end("slurmdbd", grace_s=3)
        ctx.end("mariadb", grace_s=8)
        ctx.end("munged", grace_s=1)

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses(*DAEMONS)


def write_configuration(ctx: LabContext) -> Cluster:
    """Write every configuration file, and make the directories that they name."""
    directory = ctx.directory("slurm")
    etc = ctx.directory("slurm/etc")
    ctx.directory("slurm/state", user="slurm", mode=0o700)
    ctx.directory("slurm/pid", user="slurm")
    ctx.directory("slurm/spool")
    password_file = ctx.directory("slurm/secret", mode=0o700) / "mariadb"
    if not password_file.exists():
        password_file.write_text(secrets.token_hex(16), encoding="ascii")
    cluster = Cluster(
        directory=directory,
        ports=ctx.ports,
        database_password=password_file.read_text(encoding="ascii"),
        gpus=tuple(make_device(ctx.directory("slurm/devices") / f"gpu{number}") for number in range(2)),
    )
    (etc / "slurm.conf").write_text(configuration.slurm_conf(cluster), encoding="utf-8")
    (etc / "gres.conf").write_text(configuration.gres_conf(cluster), encoding="utf-8")
    (etc / "cgroup.conf").write_text(configuration.cgroup_conf(), encoding="utf-8")
    # slurmdbd refuses a file that others can read.
    write_private(etc / "slurmdbd.conf", configuration.slurmdbd_conf(cluster), owner="slurm")
    write_private(directory / "init.sql", configuration.database_init(cluster.database_password), owner="mysql")
    return cluster


def write_private(path: Path, text: str, *, owner: str) -> None:
    """Write a file that only one account can read."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    shutil.chown(path, owner)


def make_device(path: Path) -> Path:
    """Make a character device that does nothing, like ``/dev/null``; Slurm takes no other file for a GPU."""
    if not path.exists():
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.chmod(0o666)
    return path


def start_munged(ctx: LabContext, cluster: Cluster) -> None:
    """Start a munged of our own, with a key of our own."""
    directory = ctx.directory("slurm/munge", user="munge", mode=0o711)
    key = directory / "munge.key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        shutil.chown(key, "munge")
    cluster.munge_socket.unlink(missing_ok=True)
    options = {
        "socket": cluster.munge_socket,
        "key-file": key,
        "pid-file": directory / "munged.pid",
        "seed-file": directory / "seed",
        "log-file": directory / "munged.log",
        "num-threads": 10,
    }
    argv = ["/usr/sbin/munged", "--foreground", "--force", *(f"--{name}={value}" for name, value in options.items())]
    ctx.spawn("munged", argv, user="munge")
    ctx.wait_for("munged", cluster.munge_socket.is_socket, daemon="munged", timeout_s=5)


def start_mariadb(ctx: LabContext, cluster: Cluster) -> None:
    """Start the database behind slurmdbd."""
    data = ctx.directory("slurm/mariadb", user="mysql", mode=0o750)
    if not (data / "mysql").is_dir():
        run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--user=mysql",
                f"--datadir={data}",
                "--auth-root-authentication-method=socket",
                "--skip-test-db",
                "--innodb-log-file-size=8M",
            ]
        )
    options = {
        "datadir": data,
        "socket": data / "socket",
        "port": ctx.port("mariadb"),
        "bind-address": "127.0.0.1",
        "pid-file": data / "pid",
        "innodb-log-file-size": "8M",
        "innodb-buffer-pool-size": "64M",
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-doublewrite": 0,
        "innodb-flush-method": "nosync",
        "innodb-lock-wait-timeout": 900,
        "performance-schema": "OFF",
        "init-file": cluster.directory / "init.sql",
    }
    argv = ["/usr/sbin/mariadbd", "--no-defaults", "--skip-name-resolve"]
    ctx.spawn("mariadb", [*argv, *(f"--{name}={value}" for name, value in options.items())], user="mysql")
    # It accepts connections only after init.sql.
    ctx.wait_for("MariaDB", lambda: ports.answers(ctx.port("mariadb")), daemon="mariadb")


def start_slurmdbd(ctx: LabContext) -> None:
    """Start the accounting daemon."""
    argv = named_localhost(["/usr/sbin/slurmdbd", "-D"], user="slurm")
    ctx.spawn("slurmdbd", argv, slurm_environment(ctx))
    ctx.wait_for("slurmdbd", lambda: ports.answers(ctx.port("slurmdbd")), daemon="slurmdbd")


def spawn_slurmctld(ctx: LabContext) -> None:
    """Start the controller; it answers a moment later."""
    # -i: a saved state of another Slurm version is no reason to stop.
    argv = named_localhost(["/usr/sbin/slurmctld", "-D", "-i"], user="slurm")
    ctx.spawn("slurmctld", argv, slurm_environment(ctx))


def wait_for_slurmctld(ctx: LabContext) -> None:
    """Wait until the controller takes connections."""
    ctx.wait_for("slurmctld", lambda: ports.answers(ctx.port("slurmctld")), daemon="slurmctld", timeout_s=30)


def add_to_accounting(ctx: LabContext, cluster: Cluster) -> None:
    """Tell slurmdbd of the cluster and its user, once; slurmctld ends at once if slurmdbd does not know it."""
    done = cluster.directory / "in-accounting"
    if done.exists():
        return
    add(ctx, "cluster", "lab")
    add(ctx, "account", "lab", "Description=lab", "Organization=lab")
    add(ctx, "user", ctx.cluster_user, "Account=lab")
    done.touch()


def add(ctx: LabContext, *what: str, timeout_s: float = 20.0) -> None:
    """Add something to accounting, if it is not there.

    slurmdbd takes connections a moment before it can answer them, on a busy machine some seconds before.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            run(["sacctmgr", "--immediate", "--quiet", "add", *what], env=slurm_environment(ctx))
        except PartFailed as error:
            if "already exist" in str(error) or "Nothing new added" in str(error):
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return


def nodes_ready(ctx: LabContext) -> bool:
    """Whether every node can take jobs."""
    try:
        states = run(["sinfo", "-h", "-N", "-o", "%N %t"], env=slurm_environment(ctx)).splitlines()
    except PartFailed:
        return False
    return sum(line.split()[-1] in {"idle", "mix", "alloc", "comp"} for line in set(states)) == NODES


def cancel_jobs(ctx: LabContext) -> None:
    """Cancel every job, so that the next slurmctld does not start them anew; a controller that hangs is let be."""
    try:
        run(["scancel", "--quiet", f"--user={ctx.cluster_user}"], env=slurm_environment(ctx), timeout_s=3)
    except PartFailed:
        return


def end_jobs(ctx: LabContext) -> None:
    """Kill what jobs of this cluster have left running."""
    configuration_file = f"SLURM_CONF={slurm_environment(ctx)['SLURM_CONF']}".encode()
    spool = f"{ctx.base}/slurm/spool/"

    def belongs(pid: int) -> bool:
        process = processes.PROC / str(pid)
        try:
            # The title of a slurmstepd overwrites its environment; but it works in its node's directory.
            if (process / "exe").readlink().name.startswith("slurmstepd"):
                return str((process / "cwd").readlink()).startswith(spool)
        except OSError:
            return False
        environment = processes.environ_of(pid)
        return configuration_file in environment and any(entry.startswith(b"SLURM_JOB_ID=") for entry in environment)

    found = {pid: ticks for pid in processes.family([], belongs) if (ticks := processes.start_ticks(pid))}
    processes.kill(found)
