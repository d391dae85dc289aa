"""A stand-in for OMERO's import client, ``java … ome.formats.importer.cli.CommandLineImporter``.

``omero import`` starts that program; it cannot be had here. This one takes the same arguments, writes the same to
standard output and error, ends with the same statuses, and does with the server what that one does: it asks the managed
repository for an import, files are linked from there or sent to it, and the server makes images of them.

What it does not know ends with status 1 and a message, as a wrong option does there. The file that ``IMPORT_TROUBLE``
names may ask it to take files for damaged, or to be slow: ``{"damaged": ["cells 3.tif"], "slow_s": 2}``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import Ice
import omero
import omero.all
import omero.callbacks
import omero.cmd
import omero.grid
import omero.model
from omero.rtypes import rbool, rstring

from tests.lab.omero.imagefiles import SUFFIXES, UnknownImage, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAIN_CLASS = "ome.formats.importer.cli.CommandLineImporter"

_DEPTH = "-Domero.import.depth="
_CHUNK_BYTES = 1_000_000
_LOG_FORMAT = "%(asctime)s %(relativeCreated)-9d [      main] %(levelname)-6s%(name)s - %(message)s"

log = logging.getLogger("ormats.importer.cli.ErrorHandler")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End as the usage of the real one does."""
        sys.stderr.write(f"importer-cli: {message}\n\n Usage:  importer-cli [OPTION]... [path [path ...]]...\n")
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Import what a command line of Java's says.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind ``java``; by default this process's arguments.

    Returns
    -------
    int
        The exit status: 0, 1 for nothing that could be imported, 2 if an import failed.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=_LOG_FORMAT)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if MAIN_CLASS not in given:
        sys.stderr.write(f"Error: Could not find or load main class {given[-1] if given else ''}\n")
        return 1
    place = given.index(MAIN_CLASS)
    depth = next((int(item.removeprefix(_DEPTH)) for item in given[:place] if item.startswith(_DEPTH)), 4)
    options = _options(given[place + 1 :])
    began = time.monotonic()
    errors = 0
    candidates = []
    trouble = _trouble()
    for path in _files(options.paths, depth):
        try:
            if path.name in trouble.get("damaged", ()):
                raise UnknownImage(f"{path} is damaged")  # noqa: TRY301  # as if it had been read
            read(path)
            candidates.append(path)
        except UnknownImage as error:
            log.error("FILE_EXCEPTION: %s\n%s", path, error)  # noqa: TRY400  # one line, as it writes it there
            errors += 1
    if not candidates:
        sys.stderr.write("No imports due to errors!\n" if errors else "No imports found\n")
        return 0 if errors else 1
    time.sleep(trouble.get("slow_s", 0))
    session = _Session(options)
    failed = 0
    try:
        for path in candidates:
            try:
                session.bring_in(path)
            except (omero.ServerError, Ice.Exception, OSError, _Refused) as error:
                log.error("INTERNAL_EXCEPTION: %s\n%s", path, "".join(traceback.format_exception(error)))  # noqa: TRY400
                failed += 1
                if not options.carry_on:
                    break
    finally:
        session.close()
    done, files = len(session.filesets), session.transferred
    sys.stderr.write(
        f"\n==> Summary\n{_count('file', files)} uploaded, {_count('fileset', done)} created, "
        f"{_count('image', session.images)} imported, {_count('error', errors + failed)} "
        f"in {time.strftime('%-H:%M:%S', time.gmtime(time.monotonic() - began))}.000\n"
    )
    return 2 if failed else 0


def _options(arguments: Sequence[str]) -> Any:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-s", dest="host", required=True)
    parser.add_argument("-p", dest="port", type=int, default=4064)
    parser.add_argument("-k", dest="key", required=True)
    parser.add_argument("-d", dest="dataset", type=_identifier)
    parser.add_argument("-r", dest="screen", type=_identifier)
    parser.add_argument("-T", "--target", dest="target")
    parser.add_argument("-n", "--name")
    parser.add_argument("-x", "--description")
    parser.add_argument("-c", dest="carry_on", action="store_true")
    parser.add_argument("--transfer", choices=("upload", "ln_s", "ln", "cp"), default="upload")
    parser.add_argument("--checksum-algorithm", choices=("SHA1-160", "File-Size-64"), default="SHA1-160")
    parser.add_argument("--no-stats-info", action="store_true")
    parser.add_argument("--no-thumbnails", action="store_true")
    parser.add_argument("--no-upgrade-check", action="store_true")
    # One file at a time is brought in here.
    parser.add_argument("--parallel-upload", type=int)
    parser.add_argument("--parallel-fileset", type=int)
    parser.add_argument("--output", choices=("ids", "legacy", "yaml"), default="ids")
    parser.add_argument("--debug")
    parser.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args(list(arguments))
    if options.target is not None:
        kind, _, number = options.target.partition(":")
        if kind not in {"Dataset", "Screen"} or not number.isdigit():
            parser.error(f"the target {options.target} is not known to this stand-in")
        setattr(options, kind.lower(), int(number))
    return options


def _trouble() -> dict[str, Any]:
    """Return what is to go wrong."""
    path = Path(os.environ.get("IMPORT_TROUBLE") or "/nonexistent")
    trouble: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return trouble


def _identifier(text: str) -> int:
    """Read ``12`` or ``Dataset:12``."""
    return int(text.rpartition(":")[2])


def _files(paths: Sequence[Path], depth: int) -> Iterator[Path]:
    """Give every file that may hold an image, of folders those down to a depth."""
    for path in paths:
        if path.is_dir():
            if depth > 0:
                yield from _files(sorted(path.iterdir()), depth - 1)
        elif path.suffix.lower() in SUFFIXES:
            yield path.absolute()


class _Refused(Exception):
    """The server could not make images of what it was given."""


class _Session:
    """The session that the client was given, and what has been imported in it."""

    def __init__(self, options: Any) -> None:
        self._options = options
        self._client = omero.client(options.host, options.port)
        factory = self._client.joinSession(options.key)
        factory.detachOnDestroy()
        self._repository = self._client.getManagedRepository()
        self.filesets: list[int] = []
        self.transferred = self.images = 0

    def close(self) -> None:
        self._client.__del__()

    def bring_in(self, path: Path) -> None:
        """Import one file and print what has become of it."""
        process = self._repository.importFileset(describe(path), self._settings())
        try:
            store = process.getUploader(0)
            try:
                self._transfer(path, store)
            finally:
                store.close()
            self.transferred += 1
            handle = process.verifyUpload([self._checksum(path)])
            callback = omero.callbacks.CmdCallbackI(self._client, handle)
            try:
                while not callback.block(1000):
                    pass
                response = callback.getResponse()
            finally:
                callback.close(True)
        finally:
            process.close()
        if isinstance(response, omero.cmd.ERR):
            raise _Refused(f"{response.category} {response.name}: {response.parameters.get('message', '')}")
        self._tell(response)

    def _settings(self) -> Any:
        options = self._options
        settings = omero.grid.ImportSettings()
        settings.doThumbnails = rbool(not options.no_thumbnails)
        settings.noStatsInfo = rbool(options.no_stats_info)
        if options.dataset is not None:
            settings.userSpecifiedTarget = omero.model.DatasetI(options.dataset, False)
        elif options.screen is not None:
            settings.userSpecifiedTarget = omero.model.ScreenI(options.screen, False)
        if options.name is not None:
            settings.userSpecifiedName = rstring(options.name)
        if options.description is not None:
            settings.userSpecifiedDescription = rstring(options.description)
        settings.checksumAlgorithm = omero.model.ChecksumAlgorithmI()
        settings.checksumAlgorithm.value = rstring(options.checksum_algorithm)
        return settings

    def _transfer(self, path: Path, store: Any) -> None:
        if self._options.transfer == "upload":
            with path.open("rb") as file:
                position = 0
                while chunk := file.read(_CHUNK_BYTES):
                    store.write(chunk, position, len(chunk))
                    position += len(chunk)
            return
        root, file = self._repository.root(), store.save()
        location = Path(root.path.val) / root.name.val / file.path.val / file.name.val
        if not location.exists() or location.stat().st_size:
            raise _Refused(f"{location} is not there, or not empty: a transfer in place works on the server alone")
        location.unlink()
        match self._options.transfer:
            case "ln_s":
                location.symlink_to(path)
            case "ln":
                os.link(path, location)
            case _:
                location.write_bytes(path.read_bytes())

    def _checksum(self, path: Path) -> str:
        if self._options.checksum_algorithm == "File-Size-64":
            return f"{path.stat().st_size:016x}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha1").hexdigest()

    def _tell(self, response: Any) -> None:
        """Print in the chosen form what an import has made."""
        images = [item.id.val for item in response.objects if isinstance(item, omero.model.Image)]
        fileset = response.pixels[0].image.fileset.id.val
        self.filesets.append(fileset)
        self.images += len(images)
        match self._options.output:
            case "yaml":
                sys.stderr.write("Imported objects:\n")
                sys.stdout.write(f"---\n- Fileset: {fileset}\n  Image: [{','.join(map(str, images))}]\n")
            case "legacy":
                sys.stderr.write("Imported pixels:\n")
                sys.stdout.writelines(f"{pixels.id.val}\n" for pixels in response.pixels)
                sys.stderr.write(f"Other imported objects:\nFileset:{fileset}\n")
                sys.stderr.writelines(f"Image:{image}\n" for image in images)
            case _:
                sys.stdout.write(f"Image:{','.join(map(str, images))}\n")
        sys.stdout.flush()


def describe(path: Path) -> Any:
    """Return the Fileset by which a client asks to import one file: named from the root on, without the root."""
    fileset = omero.model.FilesetI()
    entry = omero.model.FilesetEntryI()
    entry.setClientPath(rstring(str(path).lstrip("/")))
    fileset.addFilesetEntry(entry)
    upload = omero.model.UploadJobI()
    upload.setVersionInfo([omero.model.NamedValue("os.name", platform.system())])
    fileset.linkJob(upload)
    return fileset


def _count(noun: str, number: int) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main())
