"""Put the analyses on the cluster: their images where the cluster looks for them, their sources in git."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.analyses import sif
from tests.lab.parts import LabContext, run

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "nuclei"
VERSION = "v1.0.0"
SOURCE = Path(__file__).parent / NAME

GIT_ENVIRONMENT = {
    # Nothing of the caller's own configuration, and the same commit each time.
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Lab",
    "GIT_AUTHOR_EMAIL": "lab@example.org",
    "GIT_AUTHOR_DATE": "2025-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Lab",
    "GIT_COMMITTER_EMAIL": "lab@example.org",
    "GIT_COMMITTER_DATE": "2025-01-01T00:00:00Z",
}


class AnalysesPart:
    """The analysis ``nuclei``: ``w_nuclei_v1.0.0.sif`` on the cluster, and a git repository with its descriptor."""

    name = "analyses"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        image = json.loads((SOURCE / "descriptor.json").read_text(encoding="utf-8"))["container-image"]["image"]
        place_image(ctx, sif.ensure(NAME), f"{image.rpartition('/')[2]}_{VERSION}.sif")
        return {
            "nuclei_repo": str(make_repository(ctx.directory("repositories") / "w_nuclei.git")),
            "nuclei_image": image,
            "nuclei_version": VERSION,
        }

    def stop(self, ctx: LabContext) -> None:
        """Do nothing: there is nothing that runs."""

    def status(self, ctx: LabContext) -> str:
        repository = (ctx.base / "repositories/w_nuclei.git/HEAD").exists()
        images = list(ctx.cluster_home.glob(f"my-scratch/singularity_images/workflows/{NAME}/*_{VERSION}.sif"))
        return "running" if repository and images else "missing"


def place_image(ctx: LabContext, image: Path, name: str) -> None:
    """Copy an image to where the cluster's user keeps those of the analysis."""
    home, user = ctx.cluster_home, ctx.cluster_user
    folder = home / "my-scratch/singularity_images/workflows" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    # Jobs that run the old image keep it: a file is replaced, never written into.
    unfinished = folder / f".{name}"
    shutil.copyfile(image, unfinished)
    unfinished.replace(folder / name)
    for path in (folder / name, folder, *[parent for parent in folder.parents if parent.is_relative_to(home)]):
        shutil.chown(path, user, user)


def make_repository(repository: Path) -> Path:
    """Make a bare git repository with the analysis, tagged with its version."""
    work = repository.with_suffix(".work")
    for path in (repository, work):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(SOURCE, work, ignore=shutil.ignore_patterns("__pycache__"))

    def git(*arguments: str) -> None:
        run(["git", *arguments], env=GIT_ENVIRONMENT, cwd=work)

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "--message=Find nuclei")
    git("tag", VERSION)
    git("clone", "--quiet", "--bare", str(work), str(repository))
    shutil.rmtree(work)
    return repository
