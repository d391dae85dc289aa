"""The settings, as frozen models; each field also says how it is written in slurm-config.ini and in the environment.

The models are the one table of names: the loader, the warnings about unknown keys, the list of variables that
are forwarded to scripts, the sample file and its documentation are all derived from them.
"""

from worker.settings.models.cluster import DEFAULT_CLUSTER, ClusterSettings, SlurmSettings, SshSettings
from worker.settings.models.sections import TOKEN_VARIABLES, AnalysesSettings, AnalyticsSettings, WorkerKnobs
from worker.settings.models.whole import SECTIONS, Settings, cluster_hint, variables
from worker.settings.models.workflow import RetrySettings, WorkflowSettings
from worker.settings.models.written import Written, written_fields

__all__ = [
    "DEFAULT_CLUSTER",
    "SECTIONS",
    "TOKEN_VARIABLES",
    "AnalysesSettings",
    "AnalyticsSettings",
    "ClusterSettings",
    "RetrySettings",
    "Settings",
    "SlurmSettings",
    "SshSettings",
    "WorkerKnobs",
    "WorkflowSettings",
    "Written",
    "cluster_hint",
    "variables",
    "written_fields",
]
