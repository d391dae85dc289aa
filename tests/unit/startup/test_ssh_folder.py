"""``startup/10-mount-ssh.sh``, run by bash as the container runs it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "startup" / "10-mount-ssh.sh"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nnot really\n-----END OPENSSH PRIVATE KEY-----\n"


class Container:
    """A mounted folder, a home, and the script between them."""

    def __init__(self, directory: Path) -> None:
        self.mounted = directory / "mounted"
        self.home = directory / "home"
        self.home.mkdir()

    def mount(self, **files: str) -> None:
        self.mounted.mkdir(exist_ok=True)
        for name, content in files.items():
            (self.mounted / name).write_text(content, encoding="utf-8")

    def start(self, role: str = "engine") -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "OMERO_WORKER_ROLE": role}
        environ["OMERO_WORKER_SSH_SOURCE"] = str(self.mounted)
        return subprocess.run(["bash", str(SCRIPT)], env=environ, capture_output=True, text=True, check=False)

    def names(self) -> set[str]:
        return {str(path.relative_to(self.home / ".ssh")) for path in (self.home / ".ssh").rglob("*") if path.is_file()}


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_a_key_and_known_hosts_are_enough(container: Container) -> None:
    container.mount(id_hpc=KEY, known_hosts="cluster ssh-ed25519 AAAA\n")
    started = container.start()
    assert (started.returncode, started.stderr) == (0, "")
    assert container.names() == {"id_hpc", "known_hosts"}


def test_everything_is_for_the_owner_alone(container: Container) -> None:
    container.mount(id_hpc=KEY, known_hosts="cluster ssh-ed25519 AAAA\n", config="Host cluster\n")
    (container.mounted / "id_hpc").chmod(0o444)
    container.start()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (container.home / ".ssh").iterdir()}
    assert modes == {"id_hpc": 0o600, "known_hosts": 0o600, "config": 0o600}
    assert stat.S_IMODE((container.home / ".ssh").stat().st_mode) == 0o700


def test_a_rotated_key_counts_after_a_restart(container: Container) -> None:
    container.mount(id_old=KEY, known_hosts="cluster ssh-ed25519 AAAA\n")
    container.start()
    (container.mounted / "id_old").unlink()
    container.mount(id_new=KEY)
    container.start()
    assert container.names() == {"id_new", "known_hosts"}


def test_a_restart_leaves_nothing_behind(container: Container) -> None:
    container.mount(id_hpc=KEY, known_hosts="cluster ssh-ed25519 AAAA\n")
    for _ in range(3):
        container.start()
    assert [path.name for path in container.home.iterdir()] == [".ssh"]


def test_files_in_folders_and_behind_links_are_copied(container: Container) -> None:
    container.mount(known_hosts="cluster ssh-ed25519 AAAA\n")
    folder = container.mounted / "..data"
    folder.mkdir()
    (folder / "id_hpc").write_text(KEY, encoding="utf-8")
    (container.mounted / "id_hpc").symlink_to("..data/id_hpc")
    assert container.start().returncode == 0
    assert container.names() == {"known_hosts", "id_hpc", "..data/id_hpc"}
    assert not (container.home / ".ssh" / "id_hpc").is_symlink()


def test_names_with_blanks_and_sockets_do_no_harm(container: Container) -> None:
    container.mount(known_hosts="cluster ssh-ed25519 AAAA\n", **{"my key": KEY})
    os.mkfifo(container.mounted / "master-hpc@cluster")
    assert container.start().returncode == 0
    assert container.names() == {"known_hosts", "my key"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "no SSH folder is mounted at"),
        ({}, "there is no private key in"),
        ({"id_hpc.pub": "ssh-ed25519 AAAA\n", "known_hosts": "cluster ssh-ed25519 AAAA\n"}, "there is no private key"),
        ({"id_hpc": KEY}, "there is no known_hosts in"),
        ({"id_hpc": KEY, "known_hosts": "# empty\n\n"}, "there is no known_hosts in"),
    ],
)
def test_what_is_missing_is_said(container: Container, files: dict[str, str] | None, message: str) -> None:
    if files is not None:
        container.mount(**files)
    started = container.start("engine")
    assert started.returncode == 1
    assert message in started.stderr


def test_a_node_starts_without_ssh_and_says_so(container: Container) -> None:
    started = container.start("node")
    assert started.returncode == 0
    assert "no SSH folder is mounted" in started.stderr


def test_an_old_key_does_not_outlive_its_mount(container: Container) -> None:
    container.mount(id_hpc=KEY, known_hosts="cluster ssh-ed25519 AAAA\n")
    container.start()
    for path in container.mounted.iterdir():
        path.unlink()
    container.start()
    assert container.names() == set()


def test_the_script_has_no_finding_of_shellcheck() -> None:
    scripts = sorted(str(path) for path in SCRIPT.parent.glob("*.sh"))
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
