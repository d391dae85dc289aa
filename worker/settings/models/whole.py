"""All settings together."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, Field

from worker.errors import RequestError, SettingsError
from worker.settings.models.cluster import DEFAULT_CLUSTER, ClusterSettings, SlurmSettings, SshSettings
from worker.settings.models.sections import TOKEN_VARIABLES, AnalysesSettings, AnalyticsSettings, WorkerKnobs
from worker.settings.models.workflow import WorkflowSettings
from worker.settings.models.written import Frozen, written_fields

_NOT_COMPARED: Mapping[str, bool | set[str]] = {
    "warnings": True,
    "analytics": {"sqlalchemy_url"},
    "analyses": set(TOKEN_VARIABLES),
}


def cluster_hint(name: str, clusters: Iterable[str]) -> str:
    """Say which cluster may have been meant.

    Parameters
    ----------
    name : str
        A name that is none.
    clusters : Iterable[str]
        The names that are.

    Returns
    -------
    str
        The nearest name, or all of them, and how one is made.
    """
    known = list(clusters)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    return f"{hint} A cluster has a section [SSH:name] or [SLURM:name]."


class Settings(Frozen):
    """Everything that an admin can set, merged from all files and the environment."""

    ssh: SshSettings = Field(default_factory=SshSettings)
    slurm: SlurmSettings = Field(default_factory=SlurmSettings)
    analytics: AnalyticsSettings = Field(default_factory=AnalyticsSettings)
    analyses: AnalysesSettings = Field(default_factory=AnalysesSettings)
    worker: WorkerKnobs = Field(default_factory=WorkerKnobs)
    further_clusters: Mapping[str, ClusterSettings] = Field(
        default_factory=dict, description="the clusters of [SSH:name] and [SLURM:name], by name"
    )
    converters: Mapping[str, str] = Field(default_factory=dict, description="<src>_to_<dst>: container image")
    workflows: Mapping[str, WorkflowSettings] = Field(default_factory=dict, description="by lower-case name")
    warnings: tuple[str, ...] = Field(default=(), description="what an admin should look at, though it could be used")

    @property
    def clusters(self) -> Mapping[str, ClusterSettings]:
        """Every cluster by its name; ``default`` is that of ``[SSH]`` and ``[SLURM]``, and always there."""
        return {DEFAULT_CLUSTER: ClusterSettings(DEFAULT_CLUSTER, self.ssh, self.slurm), **self.further_clusters}

    def cluster(self, name: str) -> ClusterSettings:
        """Find a cluster by its name.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        ClusterSettings
            How it is reached and what its jobs need.

        Raises
        ------
        SettingsError
            There is no such cluster.
        """
        clusters = self.clusters
        if name in clusters:
            return clusters[name]
        raise SettingsError(f"There is no cluster {name!r} in slurm-config.ini.", remedy=cluster_hint(name, clusters))

    def workflow(self, name: str) -> WorkflowSettings:
        """Find a workflow by its name, in whatever case.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        WorkflowSettings
            Its settings.

        Raises
        ------
        RequestError
            There is no such workflow.
        """
        found = self.workflows.get(name.lower())
        if found is not None:
            return found
        near = difflib.get_close_matches(name.lower(), self.workflows, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(self.workflows) or 'none'}."
        raise RequestError(f"There is no workflow {name!r} in slurm-config.ini.", remedy=hint)

    def digest(self) -> str:
        """Fingerprint the content of all sections and clusters, but no secrets and warnings, to see whether it changed.

        Returns
        -------
        str
            A sha256, in hexadecimal; it does not depend on the order of keys in the files.
        """
        content = self.model_dump(mode="json", exclude=_NOT_COMPARED)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


SECTIONS: Mapping[str, type[BaseModel]] = {
    "SSH": SshSettings,
    "SLURM": SlurmSettings,
    "ANALYTICS": AnalyticsSettings,
    "ANALYSES": AnalysesSettings,
    "WORKER": WorkerKnobs,
}
"""The sections whose keys are fields of a model."""


def variables() -> tuple[str, ...]:
    """List every environment variable that wins over slurm-config.ini.

    Returns
    -------
    tuple[str, ...]
        Their names, in the order of the models.
    """
    return tuple(
        variable
        for model in SECTIONS.values()
        for _, mark in written_fields(model).values()
        for variable in mark.variables
    )
