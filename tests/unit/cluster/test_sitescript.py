"""Job scripts of a site, read from its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.cluster import sitescript
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.local import LocalTransport
    from worker.cluster.sitescript import SiteScript

TEXT = "#!/bin/bash\n#SBATCH --time=00:15:00\necho it\\'s $LABEL\n"


def read(here: LocalTransport, name: str = "jobs/nuclei.sh") -> SiteScript:
    return sitescript.read_site_script(here, "~/scripts", name, workflow="nuclei")


def test_it_is_read_as_it_is(here: LocalTransport, tmp_path: Path) -> None:
    (tmp_path / "scripts/jobs").mkdir(parents=True)
    (tmp_path / "scripts/jobs/nuclei.sh").write_text(TEXT)
    assert read(here).text == TEXT


def test_a_missing_one_is_named_with_what_to_do(here: LocalTransport) -> None:
    with pytest.raises(SettingsError, match=r"is not on the cluster: scripts/jobs/nuclei\.sh\. .*cluster init"):
        read(here)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo\n", "does not begin with '#!'"),
        ("", "does not begin with '#!'"),
        ("#!/bin/bash\r\necho\r\n", "line ends of Windows"),
        ("#!/bin/bash\0", "does not begin with '#!'"),
        ("#!/bin/bash\n" + "x" * 1_000_001, "has more than"),
    ],
)
def test_what_is_no_script_is_told(here: LocalTransport, tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/x").write_bytes(text.encode())
    with pytest.raises(SettingsError, match=problem):
        read(here, "x")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ""])
def test_it_is_below_the_folder_of_scripts(here: LocalTransport, name: str) -> None:
    with pytest.raises(SettingsError, match="not a path below"):
        read(here, name)
