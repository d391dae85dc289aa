"""Results on their way home: what analyses leave behind, cut connections, processes that end, and what is kept."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from tests.clusters import OneCluster
from tests.faults.transport import CountingTransport, FaultyTransport
from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from worker.cluster import streams
from worker.cluster.listing import list_tree
from worker.engine import interventions, staging
from worker.engine.accept import accept
from worker.engine.assembly import open_record, open_resources
from worker.engine.driver import drive
from worker.engine.omero import OwnSession
from worker.engine.places import layout_of
from worker.engine.request import parse_request
from worker.engine.retry import Budget
from worker.engine.storage import retain, retain_here
from worker.engine.view import notes_of, produced, view_of
from worker.engine.watcher import Watcher
from worker.errors import ConnectionLost
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from tests.lab.description import Lab
    from worker.engine.assembly import Record
    from worker.engine.context import Resources

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"


class World:
    """One worker on the lab, driven by the test itself, and the way to the cluster, which may break."""

    def __init__(self, lab: Lab, record: Record, resources: Resources) -> None:
        self.lab = lab
        self.record = record
        self.tracker = record.tracker
        self.faulty = FaultyTransport(resources.clusters.get("default").transport)
        clusters = OneCluster(record.settings, self.faulty, Watcher(self.faulty, min_interval_s=0.3))
        self.resources = replace(resources, clusters=clusters, budget=Budget(first_delay_s=0.1))
        self.said: list[str] = []

    def accept(self, **changes: Any) -> UUID:
        """A run of the lab's analysis."""
        with logged_in(self.lab, USER) as gateway:
            image_id = import_image(gateway, samples.nuclei_image()[:96, :96], "corner.tif")
            person = who(gateway)
        request = {
            "ids": [image_id],
            "workflows": [{"name": "nuclei", "version": self.lab.nuclei_version}],
            "output": {"new_dataset": "fetched"},
            "user_id": person.user_id,
            "user_name": person.user_name,
            "group_id": person.group_id,
            "group_name": person.group_name,
        }
        return accept(self.tracker, parse_request({**request, **changes}), self.record.settings)

    def drive(self, run_id: UUID, done: Callable[[Any], bool], timeout_s: float = 90.0) -> Any:
        """Drive a run until something is true of it, and not a step further."""
        deadline = time.monotonic() + timeout_s
        with self.resources.leases.heartbeat():
            while not done(run := self.tracker.run(run_id)):
                assert time.monotonic() < deadline, (run.steps, run.error_message, run.paused_reason)
                drive(
                    self.resources,
                    run_id,
                    report=self.said.append,
                    go_on=lambda: not done(self.tracker.run(run_id)),
                )
                self.resources.clusters.get("default").watcher.tick()
                time.sleep(0.1)
        return run

    def folder(self, run_id: UUID) -> Path:
        """The run's folder; the lab's cluster shares the disk of this machine."""
        return Path(self.lab.data_path or "") / layout_of(self.tracker.run(run_id), self.record.settings).folder

    def job_done(self, run_id: UUID) -> Path:
        """Drive a run until its job has ended; give the folder of its results."""
        self.drive(run_id, lambda run: "watch/0" in run.steps and run.steps["watch/0"].state == "done")
        return self.folder(run_id) / "data" / "out"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture
def world(lab: Lab, deployment: Deployment) -> Iterator[World]:
    with (
        open_record({**deployment.environ, "OMERO_WORKER_UNKNOWN_GRACE_S": "1"}) as record,
        logged_in(lab, USER) as gateway,
        open_resources(record, OwnSession(gateway)) as resources,
    ):
        yield World(lab, record, resources)


def plant(out: Path) -> None:
    """Leave what an analysis might, as the account of the cluster; and one file of root's."""
    owner = out.stat()
    (out / "link").symlink_to("/etc/passwd")
    os.mkfifo(out / "pipe")
    (out / "shut").mkdir()
    files = {"shut/file.bin": b"shut", "Case.bin": b"upper", "case.bin": b"lower", "new\nline.bin": b"x"}
    files |= {f"many/{number:03}.bin": b"%d" % number for number in range(250)}
    files |= {"large.bin": os.urandom(3 * 2**20)}
    for name, data in files.items():
        path = out / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.chown(path, owner.st_uid, owner.st_gid)
        os.chown(path.parent, owner.st_uid, owner.st_gid)
    (out / "many").chmod(0o555)
    (out / "shut" / "file.bin").chmod(0)
    (out / "shut").chmod(0)
    (out / "roots.bin").write_bytes(b"secret")
    (out / "roots.bin").chmod(0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a file that the cluster's account may not read")
def test_everything_that_can_come_home_does_and_the_rest_is_told_kept_and_removed_in_the_end(
    world: World, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LARGE_BYTES", 2**20)
    run_id = world.accept()
    plant(world.job_done(run_id))
    world.faulty.lose_reply("pack")
    world.faulty.lose_reply("send_rest")
    world.drive(run_id, lambda run: run.steps.get("fetch/0") is not None and run.steps["fetch/0"].state == "done")
    data = world.tracker.run(run_id).steps["fetch/0"].data
    staged = staging.folder_of(world.resources.state_dir, run_id) / "0" / "out"
    names = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
    assert {"shut/file.bin", "Case.bin", "case.bin", "new\nline.bin", "large.bin", "many/249.bin"} <= names
    assert not {"link", "pipe", "roots.bin"} & names
    # 250 files are too many for the record, which keeps their digest.
    assert data["manifest"]["files"] == len(names)
    assert len(json.dumps(data)) < 1000
    assert data["notes"] == ["Left out of the results: link (a link).", "Left out of the results: pipe (a pipe)."]
    assert any("Fetching results: " in text for text in world.said)

    # The importing process is on another machine: it fetches what the list says, which is on the cluster.
    staging.remove(staging.folder_of(world.resources.state_dir, run_id))
    run = world.drive(run_id, lambda run: run.ended)
    assert run.status == "FAILED"
    assert "Not fetched: roots.bin (a file that the login of this worker may not read)" in run.error_message
    assert {item["kind"] for item in produced(view_of(run))} >= {"Dataset", "Image"}
    assert data["notes"][0] in notes_of(view_of(run))

    listed = json.loads(deployment.command("storage", "--json").stdout)
    (stored,) = (each for each in listed["folders"] if each["run_id"] == str(run_id))
    assert (stored["user"], stored["workflow"], stored["status"]) == (USER, "nuclei", "FAILED")
    assert stored["files"] > 250
    assert stored["size_bytes"] > 3 * 2**20
    assert stored["why"] == "the run has failed, and can be retried for 30 days"
    dry = deployment.command("storage", "remove", str(run_id), "--dry-run")
    assert "nothing was removed" in dry.stdout
    assert world.folder(run_id).exists()
    removal = deployment.command("storage", "remove", str(run_id), "--yes", check=False)
    assert removal.returncode == 0, removal.stderr
    assert not world.folder(run_id).exists()
    assert "were removed at" in interventions.retry(world.tracker, run_id, by=USER)


def test_results_that_change_between_two_attempts_are_named_and_then_taken_as_they_are(world: World) -> None:
    run_id = world.accept(output={"zip_to_parent": True})
    out = world.job_done(run_id)
    (out / "notes.txt").write_text("first")
    world.faulty.lose_reply("pack")
    world.drive(run_id, lambda run: run.steps.get("fetch/0") is not None and run.steps["fetch/0"].attempts > 0)
    (out / "notes.txt").write_text("second")
    run = world.drive(run_id, lambda run: run.ended)
    assert run.status == "COMPLETED"
    failures = [row.data for row in world.record.reader.events(run_id) if row.name == "AttemptFailed"]
    assert [failure["error"] for failure in failures] == ["OutcomeUnknown", "TransferDamaged"]
    assert "change while they are fetched: notes.txt" in failures[1]["message"]
    assert not world.folder(run_id).exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_file_over_4_gib_continues_where_it_was_cut_off_and_stays_sparse(world: World, tmp_path: Path) -> None:
    run_id = world.accept(output={"zip_to_parent": True})
    out = world.job_done(run_id)
    with (out / "huge.bin").open("wb") as file:
        file.write(b"begin")
        file.truncate(5 * 2**30)
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    transport, root = world.resources.clusters.get("default").transport, PurePosixPath(out)
    listing = list_tree(transport, root)

    def cut(_files: int, size_bytes: int, /) -> None:
        if size_bytes > 4.2 * 2**30:
            raise ConnectionLost("The network is down.")

    with pytest.raises(ConnectionLost):
        streams.download_tree(transport, root, listing.files, tmp_path / "out", follow=cut)
    (part,) = (tmp_path / "out.parts").iterdir()
    assert part.stat().st_size > 4 * 2**30
    streams.download_tree(transport, root, listing.files, tmp_path / "out")
    arrived = tmp_path / "out" / "huge.bin"
    assert arrived.stat().st_size == 5 * 2**30
    assert arrived.stat().st_blocks * 512 < 2**30
    with arrived.open("rb") as fetched:
        assert fetched.read(5) == b"begin"
        fetched.seek(-3, os.SEEK_END)
        assert fetched.read() == b"end"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_ome_zarr_of_20_000_chunks_comes_home_in_four_commands(world: World, tmp_path: Path) -> None:
    run_id = world.accept()
    out = world.job_done(run_id)
    for number in range(20_000):
        chunk = out / "labels.zarr" / "0" / str(number % 20) / str(number // 20)
        chunk.parent.mkdir(parents=True, exist_ok=True)
        chunk.write_bytes(b"%d" % number)
    counting = CountingTransport(world.resources.clusters.get("default").transport)
    listing = list_tree(counting, PurePosixPath(out))
    streams.download_tree(counting, PurePosixPath(out), listing.files, tmp_path / "out")
    assert counting.commands == {"list_files": 2, "list_checksums": 1, "pack": 1}
    assert len(listing.files) > 20_000
    assert (tmp_path / "out" / "labels.zarr" / "0" / "19" / "999").read_bytes() == b"19999"


def test_a_person_who_cancels_does_not_wait_for_a_long_fetch(world: World) -> None:
    run_id = world.accept()
    out = world.job_done(run_id)
    with (out / "long.bin").open("wb") as file:
        file.truncate(20 * 2**30)  # takes a minute to hash, and no space
    asked: list[float] = []

    def report(text: str) -> None:
        if "checksums" in text and not asked:
            world.tracker.request_cancel(run_id, USER)
            asked.append(time.monotonic())

    with world.resources.leases.heartbeat():
        drive(world.resources, run_id, report=report, go_on=lambda: not asked)
    assert asked
    assert time.monotonic() - asked[0] < 4
    assert world.drive(run_id, lambda run: run.ended).error_message == f"Cancelled by {USER}."
    assert not world.folder(run_id).exists()


def test_what_a_person_keeps_stays_until_its_time_is_over(world: World, deployment: Deployment) -> None:
    run_id = world.accept(cleanup=False)
    world.drive(run_id, lambda run: run.ended)
    staged = staging.folder_of(world.resources.state_dir, run_id)
    assert staged.exists()
    settings = world.record.settings
    transport = world.resources.clusters.get("default").transport
    shared = (world.tracker, world.record.reader, world.resources.leases)
    with world.resources.leases.heartbeat():
        assert retain_here(world.tracker, world.resources.leases, settings, world.resources.state_dir) == [run_id]
        later = datetime.now(UTC) + timedelta(days=91)
        assert [each for each in retain(*shared, settings, lambda _: transport, now=later) if each.run] == []
        deployment.configure("WORKER", keep_results_days="90")
        while world.record.settings.worker.keep_results_days != 90:
            time.sleep(0.2)
        removed = retain(*shared, world.record.settings, lambda _: transport, now=later)
    assert [each.folder.name for each in removed] == [f"biomero_{run_id}"]
    assert not staged.exists()
    assert not world.folder(run_id).exists()
    (event,) = (
        row
        for row in world.record.reader.events(run_id)
        if row.data.get("step") == "remove" and row.name == "StepCompleted"
    )
    assert event.data["data"]["reason"] == "the person wished to keep it, which is possible for 90 days."
