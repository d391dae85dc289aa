"""What a running lab looks like from outside: everything that a test needs to reach its parts."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, get_args, get_type_hints

DEFAULT_BASE = Path("/var/tmp/omero-worker-lab")
"""Where a lab lies unless the environment says otherwise."""

CHECKOUT = Path(__file__).resolve().parents[2]
"""The working tree that this very code is part of."""


class LabNotThere(RuntimeError):
    """No lab has been started in that base directory."""


def lab_base() -> Path:
    """Return the base directory of the lab: ``$OMERO_WORKER_LAB``, or :data:`DEFAULT_BASE`."""
    return Path(os.environ.get("OMERO_WORKER_LAB") or DEFAULT_BASE)


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab. What belongs to a part that was not started is None (or empty).

    Parameters
    ----------
    base : Path
        Directory of everything that the lab writes.
    checkout : Path
        The working tree from which the lab was started.
    ports : dict
        Every port of the lab's block by its name.
    parts : tuple of str
        Names of the parts that were started.
    ssh_host, ssh_port, ssh_user
        Where the cluster's login node listens, and who may log in.
    ssh_directory : Path, optional
        A client's ``~/.ssh``: ``config``, ``known_hosts`` and the private key, as a container would mount it.
    ssh_config : Path, optional
        Its ``config``, with the hosts *ssh_alias* and *ssh_jump_alias*.
    known_hosts : Path, optional
        Its ``known_hosts``, with the host key of the login node.
    key : Path, optional
        Its private key, readable by the owner alone.
    ssh_alias, ssh_jump_alias : str, optional
        Host aliases: the login node directly, and the same through ``ProxyJump``.
    slurm_conf : Path, optional
        For Slurm's commands on this machine (``SLURM_CONF``); a login session has it set already.
    cluster_home, data_path, images_path, script_path : PurePosixPath, optional
        Absolute paths on the cluster: the home of *ssh_user*, and what ``[SLURM]`` of slurm-config.ini names.
    partitions : tuple of str
        Partitions of the cluster, the default one first.
    gpu_partition : str, optional
        The partition whose node has (pretended) GPUs.
    postgres_url : str, optional
        SQLAlchemy URL of an administrator of the PostgreSQL server.
    nuclei_repo : str, optional
        Path of a bare git repository with the descriptor of the analysis ``nuclei``, tagged *nuclei_version*.
    echo_repo : str, optional
        The same of the analysis ``echo``, with a descriptor in each of its folders and the same tag.
    nuclei_image, nuclei_version : str, optional
        Its container image and the version that lies in *images_path*.
    omero_host, omero_port, omero_insecure_port
        Where OMERO listens, with TLS and without.
    omero_users : dict
        Password of every OMERO user by name, the administrator ``root`` among them.
    omero_service_user : str, optional
        The OMERO user with the Sudo privilege, one of *omero_users*.
    grid_port : int, optional
        Where the OMERO.grid registry listens.
    web_host, web_port
        Where OMERO.web listens.
    other : dict
        Facts of parts that have no field of their own here.
    """

    base: Path
    checkout: Path
    ports: dict[str, int] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    ssh_host: str | None = None
    ssh_port: int | None = None
    ssh_user: str | None = None
    ssh_directory: Path | None = None
    ssh_config: Path | None = None
    known_hosts: Path | None = None
    key: Path | None = None
    ssh_alias: str | None = None
    ssh_jump_alias: str | None = None
    slurm_conf: Path | None = None
    cluster_home: PurePosixPath | None = None
    data_path: PurePosixPath | None = None
    images_path: PurePosixPath | None = None
    script_path: PurePosixPath | None = None
    partitions: tuple[str, ...] = ()
    gpu_partition: str | None = None
    postgres_url: str | None = None
    nuclei_repo: str | None = None
    nuclei_image: str | None = None
    nuclei_version: str | None = None
    echo_repo: str | None = None
    omero_host: str | None = None
    omero_port: int | None = None
    omero_insecure_port: int | None = None
    omero_users: dict[str, str] = field(default_factory=dict)
    omero_service_user: str | None = None
    grid_port: int | None = None
    web_host: str | None = None
    web_port: int | None = None
    other: dict[str, Any] = field(default_factory=dict)

    @property
    def log_directory(self) -> Path:
        """Where every daemon of the lab writes its log."""
        return self.base / "log"

    @classmethod
    def load(cls, base: Path | None = None) -> Lab:
        """Read the description of a lab.

        Parameters
        ----------
        base : Path, optional
            Its base directory; by default that of :func:`lab_base`.

        Returns
        -------
        Lab
            What was written when it was started. Whether it still runs is not looked at.

        Raises
        ------
        LabNotThere
            If no lab was started there.
        """
        path = description_file(base or lab_base())
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LabNotThere(f"there is no {path}: run 'make lab-up' first") from error
        return cls.from_facts(facts)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Lab:
        """Make a description of facts as parts report them; those without a field go to :attr:`other`."""
        hints = get_type_hints(cls)
        known = {name: _typed(value, hints[name]) for name, value in facts.items() if name in hints}
        unknown = {name: value for name, value in facts.items() if name not in hints}
        return cls(**known | {"other": known.get("other", {}) | unknown})

    def as_facts(self) -> dict[str, Any]:
        """Return what :meth:`from_facts` would make this description of."""
        facts: dict[str, Any] = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        other = facts.pop("other")
        return facts | dict(other)

    def save(self) -> None:
        """Write the description to its base directory, readable by the owner alone: it holds passwords."""
        path = description_file(self.base)
        unfinished = path.with_suffix(".unfinished")
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n", encoding="utf-8")
        unfinished.replace(path)


def description_file(base: Path) -> Path:
    """Return the file that describes the lab in a base directory."""
    return base / "lab.json"


def _typed(value: Any, hint: Any) -> Any:
    """Turn what JSON makes of paths and tuples back into these."""
    if value is None:
        return None
    options = {option for option in (hint, *get_args(hint)) if isinstance(option, type)}
    for path_type in (PurePosixPath, Path):
        if path_type in options:
            return path_type(value)
    return tuple(value) if isinstance(value, list) else value
