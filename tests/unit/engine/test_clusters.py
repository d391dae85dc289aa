"""Clusters: opened once, followed when the settings change, each with a watcher of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from worker.cluster.transport import Completed
from worker.engine.clusters import Clusters, Line
from worker.errors import SettingsError
from worker.settings.models import ClusterSettings, Settings, SlurmSettings, SshSettings, WorkerKnobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Recorded:
    """A way to a cluster that only remembers what was asked of it."""

    def __init__(self, ssh: SshSettings) -> None:
        self.host = ssh.host
        self.asked: list[Sequence[str]] = []
        self.closed = False

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        self.asked.append(argv)
        return Completed(tuple(argv), 0, self.host.encode(), b"")

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        yield iter([self.host.encode()])

    def close(self) -> None:
        self.closed = True


class Deployment:
    """Settings that a test changes, and the ways that were opened by them."""

    def __init__(self) -> None:
        self.settings = self.with_clusters(default="one")
        self.dialled: list[Recorded] = []
        self.clusters = Clusters(lambda: self.settings, dial=self.dial, record_circuit=lambda _: None)

    @staticmethod
    def with_clusters(default: str, **hosts: str) -> Settings:
        others = {name: ClusterSettings(name, SshSettings(host=host), SlurmSettings()) for name, host in hosts.items()}
        return Settings(ssh=SshSettings(host=default), further_clusters=others)

    def dial(self, ssh: SshSettings) -> Recorded:
        self.dialled.append(Recorded(ssh))
        return self.dialled[-1]


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


def test_a_cluster_is_opened_when_it_is_first_used_and_then_shared(deployment: Deployment) -> None:
    assert deployment.dialled == []
    first, second = deployment.clusters.get("default"), deployment.clusters.get("default")
    assert first.transport is second.transport
    assert first.watcher is second.watcher
    # One way for work, and one for the watcher.
    assert [way.host for way in deployment.dialled] == ["one", "one"]


def test_whoever_holds_a_cluster_takes_its_new_way_when_an_admin_changes_it(deployment: Deployment) -> None:
    held = deployment.clusters.get("default").transport
    assert held.run(["hostname"]).text == "one"
    deployment.settings = deployment.with_clusters(default="two")
    deployment.clusters.get("default")
    assert held.run(["hostname"]).text == "two"
    with held.stream(["hostname"]) as pieces:
        assert b"".join(pieces) == b"two"
    # What is on the old way comes to its end there.
    assert not any(way.closed for way in deployment.dialled)


def test_nothing_is_opened_anew_when_something_else_changes(deployment: Deployment) -> None:
    watcher = deployment.clusters.get("default").watcher
    deployment.settings = deployment.settings.model_copy(update={"worker": WorkerKnobs(poll_interval_max_s=3)})
    assert deployment.clusters.get("default").watcher is watcher
    assert len(deployment.dialled) == 2


def test_clusters_have_watchers_and_ways_of_their_own(deployment: Deployment) -> None:
    deployment.settings = deployment.with_clusters(default="one", gpu="two")
    default, gpu = deployment.clusters.get("default"), deployment.clusters.get("gpu")
    assert gpu.watcher is not default.watcher
    assert (default.transport.run(["x"]).text, gpu.transport.run(["x"]).text) == ("one", "two")
    assert [cluster.name for cluster in deployment.clusters.opened()] == ["default", "gpu"]


def test_a_cluster_that_is_taken_out_of_the_settings_is_named(deployment: Deployment) -> None:
    deployment.settings = deployment.with_clusters(default="one", gpu="two")
    deployment.clusters.get("gpu")
    deployment.settings = deployment.with_clusters(default="one")
    with pytest.raises(SettingsError, match="gpu"):
        deployment.clusters.get("gpu")
    assert [cluster.name for cluster in deployment.clusters.opened()] == []


def test_all_ways_are_closed_in_the_end(deployment: Deployment) -> None:
    deployment.clusters.get("default")
    deployment.settings = deployment.with_clusters(default="two")
    deployment.clusters.get("default")
    deployment.clusters.close()
    assert all(way.closed for way in deployment.dialled)
    assert len(deployment.dialled) == 4


def test_a_line_keeps_one_old_way_and_no_more() -> None:
    dialled: list[Recorded] = []

    def dial(ssh: SshSettings) -> Recorded:
        dialled.append(Recorded(ssh))
        return dialled[-1]

    line = Line(dial, SshSettings(host="one"))
    for host in ("two", "three"):
        line.follow(SshSettings(host=host))
    assert [way.closed for way in dialled] == [True, False, False]
