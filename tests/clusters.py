"""Settings that know some workflows, and one cluster that a test can put its hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.engine.clusters import Cluster
from worker.settings.models import DEFAULT_CLUSTER, Settings, WorkflowSettings

if TYPE_CHECKING:
    from worker.cluster.transport import Transport
    from worker.engine.watcher import Watcher


def settings_with(*workflows: str) -> Settings:
    """Settings by default, with some workflows."""
    return Settings(workflows={name: WorkflowSettings(name=name, image_folder=name) for name in workflows})


@dataclass(frozen=True, slots=True)
class OneCluster:
    """The only cluster of a deployment."""

    settings: Settings
    transport: Transport
    watcher: Watcher

    def get(self, name: str) -> Cluster:
        return Cluster(self.settings.cluster(name).name, self.transport, self.watcher)

    def opened(self) -> tuple[Cluster, ...]:
        return (self.get(DEFAULT_CLUSTER),)
