"""What is counted in the log of sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.description import Lab
from tests.soak.gauges import SshdLog

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = "Accepted publickey for hpcuser from 127.0.0.1 port 40000 ssh2: ED25519 SHA256:abc\n"
SESSION = "Starting session: command for hpcuser from 127.0.0.1 port 40000 id 0\n"


def test_only_what_is_logged_from_now_on_counts(tmp_path: Path) -> None:
    lab = Lab(base=tmp_path, checkout=tmp_path)
    lab.log_directory.mkdir()
    path = lab.log_directory / "sshd.log"
    path.write_text(ACCEPTED + SESSION, encoding="ascii")
    log = SshdLog(lab)
    first = log.read()
    assert (first.connections, first.commands) == (0, 0)
    with path.open("a", encoding="ascii") as file:
        file.write(ACCEPTED + SESSION + SESSION)
    second = log.read()
    assert (second.connections, second.commands) == (1, 2)


def test_a_line_that_is_only_half_written_is_counted_once(tmp_path: Path) -> None:
    lab = Lab(base=tmp_path, checkout=tmp_path)
    lab.log_directory.mkdir()
    path = lab.log_directory / "sshd.log"
    path.touch()
    log = SshdLog(lab)
    for piece in (SESSION[:10], SESSION[10:]):
        with path.open("a", encoding="ascii") as file:
            file.write(piece)
        reading = log.read()
    assert reading.commands == 1
