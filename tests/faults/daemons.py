"""Daemons of the lab that are stopped and started while runs are at work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab import ports
from tests.lab.omero.part import OmeroPart
from tests.lab.parts import LabContext
from tests.lab.ports import PortBlock
from tests.lab.postgres import PostgresPart
from tests.lab.slurm import part as slurm
from tests.lab.slurm.configuration import named_localhost
from tests.lab.sshd import make_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.description import Lab


def context_of(lab: Lab) -> LabContext:
    """What parts of a running lab work with."""
    return LabContext(base=lab.base, checkout=lab.checkout, ports=PortBlock.of(lab.ports), facts=lab.as_facts())


@contextmanager
def slurmctld_stopped(lab: Lab) -> Iterator[None]:
    """Stop the controller of the cluster while the block runs: nothing can be submitted, and nobody is told of jobs."""
    ctx = context_of(lab)
    ctx.end("slurmctld", grace_s=10)
    try:
        yield
    finally:
        slurm.spawn_slurmctld(ctx)
        slurm.wait_for_slurmctld(ctx)
        ctx.wait_for("every node", lambda: slurm.nodes_ready(ctx), daemon="slurmctld", timeout_s=60)


@contextmanager
def slurmdbd_stopped(lab: Lab) -> Iterator[None]:
    """Stop accounting while the block runs: jobs go on, but those that have ended are forgotten."""
    ctx = context_of(lab)
    ctx.end("slurmdbd", grace_s=5)
    try:
        yield
    finally:
        slurm.start_slurmdbd(ctx)


@contextmanager
def postgres_stopped(lab: Lab) -> Iterator[None]:
    """Stop PostgreSQL while the block runs; every connection to it ends."""
    ctx = context_of(lab)
    part = PostgresPart()
    part.stop(ctx)
    try:
        yield
    finally:
        part.start(ctx)


@contextmanager
def omero_stopped(lab: Lab) -> Iterator[None]:
    """Stop OMERO while the block runs; what is stored stays."""
    ctx = context_of(lab)
    part = OmeroPart(own_processor=ctx.process("processor") is not None)
    part.stop(ctx)
    try:
        yield
    finally:
        part.start(ctx)


@contextmanager
def strange_sshd(lab: Lab) -> Iterator[int]:
    """Run an SSH server of the same cluster, but with a host key that nobody knows; yields its port."""
    ctx = context_of(lab)
    server = lab.base / "ssh" / "server"
    make_key(server / "host_strange", comment="strange")
    port = ctx.port("sshd_strange")
    config = server / "sshd_strange_config"
    text = (server / "sshd_config").read_text(encoding="utf-8")
    text = text.replace(f"Port {lab.ssh_port}", f"Port {port}").replace("host_ed25519", "host_strange")
    config.write_text(text, encoding="utf-8")
    ctx.end("sshd-strange", grace_s=1)  # of a run of ours that was killed
    ctx.spawn("sshd-strange", named_localhost(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]))
    try:
        ctx.wait_for("the strange sshd", lambda: ports.answers(port), daemon="sshd-strange", timeout_s=5)
        yield port
    finally:
        ctx.end("sshd-strange", grace_s=1)
