"""Build the container image of an analysis, without a registry.

The *base* is Debian with Python and the libraries that analyses use: minutes to make, rarely changed. The analysis
itself is a thin *layer* that is appended to a copy of the base's squashfs, in less than a second. Both are kept in the
cache under a name that holds a hash of what they were made from.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.parts import PartFailed, run
from tests.lab.samples import cache_directory
from worker.cluster import converters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LIBRARIES = ("numpy", "scikit-image", "scipy", "tifffile", "zarr")
"""What analyses import; they and what they need are copied from this environment, version for version."""

RELEASE = "bookworm"
"""The Debian release whose Python is the one of this environment (3.11)."""

PRUNED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache/apt", "var/lib/apt/lists")

COMPRESSION = ("-comp", "zstd", "-Xcompression-level", "6")

RECIPE = "2"
"""To be changed with anything below that changes what an image holds."""

RUNSCRIPT = """\
#!/bin/sh
exec python3 /{name}/{name}.py "$@"
"""


def ensure(name: str = "nuclei", *, report: Callable[[str], None] = lambda _: None) -> Path:
    """Build the image of an analysis, if the cache has none of the same files.

    Parameters
    ----------
    name : str
        Folder of the analysis beside this module, or a converter that ships with the worker; its program is
        ``<name>.py``.
    report : callable
        Called with a line of text before something that takes long.

    Returns
    -------
    Path
        The image (SIF) in the cache.
    """
    source = Path(__file__).parent / name
    if not source.exists():
        source = Path(converters.__file__).parent
    files = sorted(path for path in source.iterdir() if path.is_file())
    base_key = _base_key()
    contents = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    image = _cache() / f"{name}-{_hash(base_key.encode(), RUNSCRIPT.encode(), *contents)}.sif"
    if not image.exists():
        base = _ensure_base(base_key, report)
        report(f"building the container image of {name}")
        with _workshop() as work:
            layer = work / "layer"
            (layer / name).mkdir(parents=True)
            for path in files:
                # Not with its mode: in a checkout of a careful person only the owner may read it.
                shutil.copyfile(path, layer / name / path.name)
            (layer / ".singularity.d").mkdir()
            runscript = layer / ".singularity.d/runscript"
            runscript.write_text(RUNSCRIPT.format(name=name), encoding="utf-8")
            runscript.chmod(0o755)
            squashfs, unfinished = work / "squashfs", work / "sif"
            shutil.copyfile(base, squashfs)
            _squash(layer, squashfs)
            _make_sif(squashfs, unfinished)
            unfinished.replace(image)
        _prune(f"{name}-*.sif")
    return image


def _make_sif(squashfs: Path, image: Path) -> None:
    """Wrap a squashfs as the primary system partition of a SIF (``apptainer sif add --help``)."""
    run(["apptainer", "sif", "new", str(image)])
    kind = ["--datatype", "4", "--parttype", "2", "--partfs", "1", "--partarch", "2", "--groupid", "1"]
    run(["apptainer", "sif", "add", *kind, str(image), str(squashfs)])
    image.chmod(0o644)


def _ensure_base(key: str, report: Callable[[str], None]) -> Path:
    base = _cache() / f"base-{key}.squashfs"
    if not base.exists():
        if os.geteuid() != 0:
            raise PartFailed("the base of container images is made by root: run 'make install' as root")
        report("building the base of container images (about a minute)")
        with _workshop() as work:
            root = work / "root"
            argv = ["debootstrap", "--variant=minbase", "--include=python3", RELEASE, str(root)]
            run([*argv, *_mirror()], timeout_s=600)
            for directory in PRUNED:
                shutil.rmtree(root / directory, ignore_errors=True)
            _copy_libraries(root / "usr/local/lib/python3.11/dist-packages")
            _compile(root)
            _squash(root, work / "squashfs")
            (work / "squashfs").replace(base)
        _prune("base-*.squashfs")
    return base


def _prune(pattern: str, keep: int = 3) -> None:
    """Remove all but the newest files of a kind; other checkouts may want the ones before."""
    newest_first = sorted(_cache().glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[keep:]:
        path.unlink(missing_ok=True)


def _squash(directory: Path, squashfs: Path) -> None:
    """Make a squashfs of a directory, or append it to the one that is there."""
    argv = ["mksquashfs", str(directory), str(squashfs), *COMPRESSION]
    run([*argv, "-all-root", "-no-recovery", "-no-progress"], timeout_s=600)


def _mirror() -> list[str]:
    """Return the Debian mirror that this machine uses, if apt knows one."""
    lines = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]).splitlines()
    return [uri for release, uri in (line.split() for line in lines) if release in {RELEASE, "stable"}][:1]


def _copy_libraries(destination: Path) -> None:
    """Copy installed libraries, without their tests."""
    for distribution in _with_requirements(LIBRARIES):
        for file in distribution.files or ():
            unwanted = {"..", "tests", "__pycache__"} & set(file.parts)
            origin = Path(str(distribution.locate_file(file)))
            if not unwanted and origin.is_file():
                target = destination / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(origin, target)


def _compile(root: Path) -> None:
    """Compile the Python of a root directory, which nobody can do later: images are read-only."""
    never_checked = ["--invalidation-mode", "unchecked-hash"]
    folders = [str(root / folder) for folder in ("usr/lib/python3.11", "usr/local/lib/python3.11")]
    run([sys.executable, "-m", "compileall", "-q", "-s", str(root), *never_checked, *folders], timeout_s=600)


def _with_requirements(names: Sequence[str]) -> list[importlib.metadata.Distribution]:
    """Return installed distributions with everything that they require, each once, in a fixed order."""
    found: dict[str, importlib.metadata.Distribution] = {}
    unvisited = list(names)
    while unvisited:
        name = re.sub(r"[-_.]+", "-", unvisited.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # required on other platforms only
        plain = [requirement for requirement in found[name].requires or () if "extra ==" not in requirement]
        unvisited += [match.group() for requirement in plain if (match := re.match(r"[\w.-]+", requirement))]
    return [found[name] for name in sorted(found)]


def _base_key() -> str:
    versions = [f"{item.name}=={item.version}" for item in _with_requirements(LIBRARIES)]
    return _hash(RECIPE.encode(), RELEASE.encode(), " ".join(versions).encode())


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:16]


def _cache() -> Path:
    directory = cache_directory() / "sif"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def _workshop() -> Iterator[Path]:
    """Give a directory on the cache's file system, so that what is finished there can be renamed into place."""
    with tempfile.TemporaryDirectory(dir=_cache(), prefix=".work-") as work:
        yield Path(work)
