"""Refreshing the list of workflows: several clusters and repositories, of which some do not answer."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.analyses.conftest import descriptor, entry
from tests.unit.analyses.web_server import WebServer, make_certificate
from worker.analyses import catalogue as catalogues
from worker.analyses.catalogue import Catalogue, catalogue_path
from worker.cluster.local import LocalTransport
from worker.engine.catalogue import refresh_catalogue
from worker.errors import HostUnreachable
from worker.settings.loader import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.cluster.transport import Transport
    from worker.settings.models import Settings


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with WebServer(certificate) as server:
        for name in ("nuclei", "spots", "cells"):
            server.files[f"/{name}.json"] = json.dumps(
                descriptor(entry("size"), name=name, container_image={"image": f"org/w_{name}", "type": "singularity"})
            ).encode()
        yield server


class Site:
    """Two clusters with images, slurm-config.ini, and the catalogue that comes of them."""

    def __init__(self, folder: Path, server: WebServer) -> None:
        self.state_dir = folder / "state"
        self.away: set[str] = set()
        self._folder = folder
        self._server = server
        for cluster, file in (("default", "nuclei/w_nuclei_v1.0.sif"), ("gpu", "cells/w_cells_v2.0.sif")):
            image = folder / cluster / "images" / file
            image.parent.mkdir(parents=True)
            image.touch()
        self.workflows = {name: {"": name, "_repo": server.url(f"/{name}.json")} for name in ("nuclei", "spots")}
        self.workflows["cells"] = {"": "cells", "_repo": server.url("/cells.json"), "_cluster": "gpu"}

    def settings(self, **analyses: str) -> Settings:
        lines = [
            "[SSH]",
            "host=local:",
            "[SSH:gpu]",
            "host=local:",
            "[SLURM]",
            "slurm_images_path=images",
            "[ANALYSES]",
        ]
        lines += [f"{key}={value}" for key, value in analyses.items()]
        lines.append("[WORKFLOWS]")
        lines += [f"{name}{key}={value}" for name, keys in self.workflows.items() for key, value in keys.items()]
        file = self._folder / "slurm-config.ini"
        file.write_text("\n".join(lines))
        return load_settings(file, default_paths=())

    def transport(self, cluster: str) -> Transport:
        if cluster in self.away:
            raise HostUnreachable(f"{cluster} is away.")
        return LocalTransport(self._folder / cluster)

    def refresh(self, settings: Settings | None = None, *, ask_now: bool = False) -> Catalogue:
        return refresh_catalogue(settings or self.settings(), self.transport, state_dir=self.state_dir, ask_now=ask_now)

    def catalogue(self) -> Catalogue:
        return catalogues.load(catalogue_path(self.state_dir))

    def begin(self, settings: Settings) -> threading.Thread:
        thread = threading.Thread(target=self.refresh, args=(settings,), daemon=True)
        thread.start()
        return thread


@pytest.fixture
def site(tmp_path: Path, server: WebServer) -> Site:
    return Site(tmp_path, server)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something has come true; it must not take half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def seen(catalogue: Catalogue) -> dict[str, tuple[str | None, tuple[str, ...], str]]:
    return {
        one.name: (one.analysis.name if one.analysis else None, one.versions, one.cluster) for one in catalogue.entries
    }


def test_each_workflow_has_its_descriptor_and_the_versions_on_its_own_cluster(site: Site, server: WebServer) -> None:
    written = site.refresh()
    assert written == site.catalogue()
    assert seen(written) == {
        "nuclei": ("nuclei", ("v1.0",), "default"),
        "spots": ("spots", (), "default"),
        "cells": ("cells", ("v2.0",), "gpu"),
    }
    assert not any(one.problem for one in written.entries)
    assert (written.note, written.refreshed_at[:2]) == ("", "20")
    nuclei = written.entry("nuclei")
    assert nuclei is not None
    assert (nuclei.source, nuclei.fetched_at[:2]) == (server.url("/nuclei.json"), "20")


def test_a_cluster_that_is_away_keeps_its_versions_and_takes_nothing_from_the_other(site: Site) -> None:
    before = site.refresh()
    site.away = {"gpu"}
    after = site.refresh()
    assert seen(after) == seen(before)
    assert "The cluster gpu did not answer" in after.note
    assert "gpu is away." in after.note
    assert "default" not in after.note


def test_a_repository_that_is_away_is_shown_from_the_copy_with_a_note(site: Site, server: WebServer) -> None:
    before = site.refresh()
    server.fail("/spots.json", 503)
    after = site.refresh()
    assert seen(after) == seen(before)
    problems = {one.name: one.problem for one in after.entries if one.problem}
    assert list(problems) == ["spots"]
    assert "so this is the copy of 20" in problems["spots"]
    server.faults.clear()
    assert any(one.problem for one in site.refresh().entries)
    assert not any(one.problem for one in site.refresh(ask_now=True).entries)


def test_one_that_hangs_keeps_no_other_waiting(site: Site, server: WebServer) -> None:
    server.hang("/spots.json")
    refresh = site.begin(site.settings(timeout_s="60"))
    until(lambda: {"nuclei", "cells"} <= {one.name for one in site.catalogue().entries if one.analysis})
    # The others are in the catalogue while the server still holds the request.
    assert server.asked.wait(30)
    assert not server.released.is_set()
    assert refresh.is_alive()
    waiting = site.catalogue().entry("spots")
    assert waiting is not None
    assert waiting.problem == "Its descriptor has not been read yet."
    server.faults.clear()
    server.released.set()
    refresh.join(30)
    assert not refresh.is_alive()


def test_one_that_hangs_keeps_what_was_known_of_it(site: Site, server: WebServer) -> None:
    before = site.refresh()
    server.hang("/spots.json")
    after = site.refresh(site.settings(timeout_s="1"))
    assert seen(after) == seen(before)
    hanging = after.entry("spots")
    assert hanging is not None
    assert "took more than 1 s" in hanging.problem


def test_a_cluster_that_hangs_keeps_no_repository_waiting(site: Site) -> None:
    asked, released = threading.Event(), threading.Event()
    transport = site.transport

    def hanging(cluster: str) -> Transport:
        if cluster == "gpu":
            asked.set()
            assert released.wait(60)
        return transport(cluster)

    site.transport = hanging  # type: ignore[method-assign]  # a cluster as slow as we like
    refresh = site.begin(site.settings())
    until(lambda: all(one.analysis for one in site.catalogue().entries) and len(site.catalogue().entries) == 3)
    assert asked.is_set()
    assert refresh.is_alive()
    released.set()
    refresh.join(30)
    assert seen(site.catalogue())["cells"] == ("cells", ("v2.0",), "gpu")


def test_a_refresh_of_older_settings_that_ends_later_does_not_bring_them_back(site: Site, server: WebServer) -> None:
    server.hang("/spots.json")
    older = site.begin(site.settings(timeout_s="60"))
    assert server.asked.wait(30)
    del site.workflows["spots"]
    newer = site.refresh()
    assert set(seen(newer)) == {"nuclei", "cells"}
    server.faults.clear()
    server.released.set()
    older.join(30)
    assert not older.is_alive()
    assert site.catalogue() == newer


def test_nothing_is_kept_that_was_true_of_another_address_or_cluster(site: Site, server: WebServer) -> None:
    site.refresh()
    server.fail("/elsewhere.json", 500)
    site.workflows["nuclei"]["_repo"] = server.url("/elsewhere.json")
    site.workflows["cells"]["_cluster"] = "default"
    site.away = {"default"}
    after = site.refresh()
    assert seen(after)["nuclei"] == (None, ("v1.0",), "default")
    assert seen(after)["cells"] == ("cells", (), "default")


def test_a_workflow_without_repository_says_so(site: Site) -> None:
    site.workflows["spots"] = {"": "spots"}
    found = site.refresh().entry("spots")
    assert found is not None
    assert "names no repository for it (spots_repo)" in found.problem


def test_a_descriptor_that_became_wrong_leaves_the_good_one_with_the_reason(site: Site, server: WebServer) -> None:
    site.refresh()
    server.files["/spots.json"] = json.dumps(descriptor(name="spots", inputs=None)).encode()
    found = site.refresh().entry("spots")
    assert found is not None
    assert found.analysis is not None
    assert "/spots.json" in found.problem
    assert "inputs" in found.problem
