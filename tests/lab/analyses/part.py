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
ECHO = Path(__file__).parent / "echo"
ECHOES = ("biaflows", "bilayers", "biomero", "generated", "numbers", "plain")
"""The descriptors of the analysis ``echo``, each in a folder of its repository and a workflow ``echo_<folder>``."""

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
    """The analyses ``nuclei`` and ``echo``: their images on the cluster, and git repositories with their descriptors.

    ``echo`` is one program and one image, but a workflow for each of its descriptors: they show what a schema can say.
    """

    name = "analyses"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        image = json.loads((SOURCE / "descriptor.json").read_text(encoding="utf-8"))["container-image"]["image"]
        place_image(ctx, sif.ensure(NAME), f"{image.rpartition('/')[2]}_{VERSION}.sif", NAME)
        place_image(ctx, sif.ensure(ECHO.name), f"w_echo_{VERSION}.sif", *(f"echo_{name}" for name in ECHOES))
        repositories = ctx.directory("repositories")
        return {
            "nuclei_repo": str(make_repository(repositories / "w_nuclei.git", SOURCE)),
            "echo_repo": str(make_repository(repositories / "w_echo.git", ECHO)),
            "nuclei_image": image,
            "nuclei_version": VERSION,
        }

    def stop(self, ctx: LabContext) -> None:
        """Do nothing: there is nothing that runs."""

    def status(self, ctx: LabContext) -> str:
        repository = (ctx.base / "repositories/w_nuclei.git/HEAD").exists()
        images = list(ctx.cluster_home.glob(f"my-scratch/singularity_images/workflows/{NAME}/*_{VERSION}.sif"))
        return "running" if repository and images else "missing"


def place_image(ctx: LabContext, image: Path, name: str, *workflows: str) -> None:
    """Put an image where the cluster's user keeps those of some workflows: one file, with a name for each of them."""
    home, user = ctx.cluster_home, ctx.cluster_user
    first: Path | None = None
    for workflow in workflows:
        folder = home / "my-scratch/singularity_images/workflows" / workflow
        folder.mkdir(parents=True, exist_ok=True)
        # Jobs that run the old image keep it: a file is replaced, never written into.
        unfinished = folder / f".{name}"
        unfinished.unlink(missing_ok=True)
        if first is None:
            shutil.copyfile(image, unfinished)
        else:
            unfinished.hardlink_to(first)
        first = unfinished.rename(folder / name)
        for path in (first, folder, *[parent for parent in folder.parents if parent.is_relative_to(home)]):
            shutil.chown(path, user, user)


def make_repository(repository: Path, source: Path) -> Path:
    """Make a bare git repository with an analysis, tagged with its version."""
    work = repository.with_suffix(".work")
    for path in (repository, work):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(source, work, ignore=shutil.ignore_patterns("__pycache__"))

    def git(*arguments: str) -> None:
        run(["git", *arguments], env=GIT_ENVIRONMENT, cwd=work)

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", f"--message=The analysis {source.name}")
    git("tag", VERSION)
    git("clone", "--quiet", "--bare", str(work), str(repository))
    shutil.rmtree(work)
    return repository
