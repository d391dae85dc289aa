"""``omero-worker storage``: what runs have left on the clusters, and its removal."""

from __future__ import annotations

import getpass
import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cluster.layout import shown
from worker.engine import storage as stores
from worker.engine.assembly import holder_name, open_record, open_transports
from worker.engine.lease import Leases
from worker.errors import RequestError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.cluster.transport import Transport
    from worker.engine.assembly import Record
    from worker.engine.storage import Stored

app = typer.Typer(invoke_without_command=True)

Names = Annotated[
    list[str] | None, typer.Option("--cluster", help="Only this cluster; may be repeated. By default all there are.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be removed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What these commands work with."""

    record: Record
    transports: Callable[[str], Transport]
    silent: list[str] = field(default_factory=list)
    """Clusters that did not answer."""

    def look(self, names: Sequence[str] | None = None, *, sizes: bool = True) -> list[Stored]:
        """Look what is there; a cluster that does not answer is told, and keeps nobody from seeing the others."""
        settings, record = self.record.settings, self.record
        clusters = [settings.cluster(name).name for name in names or settings.clusters]
        found: list[Stored] = []
        for cluster in clusters:
            looking = stores.look(
                record.tracker, record.reader, settings, self.transports, clusters=[cluster], sizes=sizes
            )
            try:
                found += looking
            except TransportError as error:
                self.silent.append(cluster)
                Console(stderr=True, soft_wrap=True).print(f"{cluster}: {error}", markup=False, highlight=False)
        return found

    def leases(self) -> Leases:
        """Leases of this process."""
        return Leases(self.record.database, holder_name(), duration_s=self.record.settings.worker.lease_s)


@contextmanager
def _opened() -> Iterator[_Opened]:
    with open_record() as record, open_transports(record.settings) as transports:
        yield _Opened(record, transports)


@app.callback()
def storage(
    context: typer.Context,
    names: Names = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List what runs have left on the clusters: whose it is, how much, until when it is kept and why."""
    if context.invoked_subcommand is not None:
        return
    with _opened() as opened:
        found = opened.look(names)
        silent = opened.silent
    _show(found, as_json=as_json)
    if silent:
        raise typer.Exit(1)


def _show(found: Sequence[Stored], *, as_json: bool) -> None:
    """List folders, and what each person has."""
    if as_json:
        typer.echo(json.dumps({"folders": [_plain(each) for each in found], "users": _by_user(found)}, indent=2))
        return
    if not found:
        typer.echo("No run has left anything on a cluster.")
        return
    table = Table("Cluster", "Folder", "User", "Workflow", "Status")
    for title in ("Size", "Files"):
        table.add_column(title, justify="right")
    for title in ("Since", "Kept until", "Why"):
        table.add_column(title)
    for each in found:
        values = _plain(each)
        until = values["kept_until"]
        table.add_row(
            *(
                Text(str(value))
                for value in (
                    each.cluster,
                    values["folder"],
                    values["user"],
                    values["workflow"],
                    values["status"].lower(),
                    _size(each.folder.size_bytes),
                    "" if each.folder.files is None else f"{each.folder.files:,}",
                    f"{each.since:%Y-%m-%d}",
                    until[:10] if until else "",
                    each.keeping.why,
                )
            )
        )
    console = Console()
    console.print(table)
    users = Table("User", title="Together", title_justify="left")
    for title in ("Folders", "Files", "Size"):
        users.add_column(title, justify="right")
    for row in _by_user(found):
        users.add_row(Text(row["user"]), f"{row['folders']:,}", f"{row['files']:,}", _size(row["size_bytes"]))
    console.print(users)


@app.command("remove")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="RUN|FOLDER", help="Runs, or folders as they are listed.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove the data of runs from their clusters, whatever the time for which they are kept."""
    with _opened() as opened:
        found = opened.look(sizes=False)
        chosen = [_chosen(found, name) for name in names]
        for each in chosen:
            typer.echo(_line(each))
        if dry_run:
            typer.echo("This was a dry run: nothing was removed.")
            return
        if not yes:
            typer.confirm("Remove this for good?", abort=True)
        leases = opened.leases()
        who = f"{getpass.getuser()} (command line)"
        with leases.heartbeat():
            remover = stores.Remover(opened.record.tracker, leases, opened.transports, who)
            for each in chosen:
                remover.remove(each, f"{who} removed them.")
                typer.echo(f"Removed {shown(each.folder.name)}.")


@app.command("clean")
def clean(dry_run: DryRun = False, yes: Yes = False) -> None:
    """Remove now what has been kept for long enough, as the engine service does every hour."""
    with _opened() as opened:
        now = datetime.now(UTC)
        due = [each for each in opened.look(sizes=False) if each.due(now)]
        for each in due:
            typer.echo(_line(each))
        if dry_run or not due:
            typer.echo("This was a dry run: nothing was removed." if due else "There is nothing to remove.")
            return
        if not yes:
            typer.confirm("Remove this for good?", abort=True)
        record, leases = opened.record, opened.leases()
        with leases.heartbeat():
            removed = stores.retain(record.tracker, record.reader, leases, record.settings, opened.transports, now=now)
        typer.echo(f"Removed {len(removed)} of {len(due)} folders.")
        if len(removed) < len(due):
            raise RequestError(
                "Not everything was removed.", remedy="The log says why; an engine service may be at it just now."
            )


def _chosen(found: Sequence[Stored], name: str) -> Stored:
    """Find the folder that is meant: by its name, or by its run."""
    matching = [
        each
        for each in found
        if name
        in (each.folder.name, f"{each.cluster}/{each.folder.name}", _where(each), str(each.run.id if each.run else ""))
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        where = ", ".join(_where(each) for each in matching)
        raise RequestError(f"{name!r} is in several places: {where}.", remedy="Name one as it stands here.")
    raise RequestError(f"There is no data of {name!r} on a cluster.", remedy="List what there is: omero-worker storage")


def _where(each: Stored) -> str:
    """Name a folder so that no other is meant."""
    return f"{each.cluster}:{each.data_path}/{shown(each.folder.name)}"


def _line(each: Stored) -> str:
    """One folder, for whoever is asked."""
    run = f"run of {each.user_name}, {each.status.lower()}" if each.run else "of no run that is known here"
    return f"{_where(each)} ({run}; {each.keeping.why})"


def _plain(each: Stored) -> dict[str, Any]:
    """One folder as JSON values."""
    until = each.keeping.until
    return {
        "cluster": each.cluster,
        "folder": shown(each.folder.name),
        "path": f"{each.data_path}/{shown(each.folder.name)}",
        "run_id": str(each.run.id) if each.run else None,
        "user": each.user_name,
        "workflow": each.workflow,
        "status": each.status,
        "size_bytes": each.folder.size_bytes,
        "files": each.folder.files,
        "since": each.since.isoformat(),
        "kept_until": until.isoformat() if until else None,
        "why": each.keeping.why,
    }


def _by_user(found: Sequence[Stored]) -> list[dict[str, Any]]:
    """What each person has, the greatest first."""
    rows: dict[str, list[Stored]] = defaultdict(list)
    for each in found:
        rows[each.user_name].append(each)
    totals = [
        {
            "user": user,
            "folders": len(stored),
            "files": sum(each.folder.files or 0 for each in stored),
            "size_bytes": sum(each.folder.size_bytes or 0 for each in stored),
        }
        for user, stored in rows.items()
    ]
    return sorted(totals, key=lambda row: (-int(str(row["size_bytes"])), str(row["user"])))


def _size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 2**20:,.1f} MiB"
