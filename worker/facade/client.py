"""`SlurmClient`: settings, descriptors, the cluster and the record, under the names that notebooks know."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import structlog

from worker.errors import WorkerError
from worker.facade.absent import explain
from worker.facade.answers import Result
from worker.facade.configured import ConfiguredClient
from worker.facade.recording import NoOpWorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from worker.cluster.report import SetupReport
    from worker.cluster.transport import Transport
    from worker.history.database import Database

log = structlog.get_logger(__name__)


class SlurmClient(ConfiguredClient):
    """A window on the worker for notebooks, and for the web plugin.

    Nothing is opened before it is needed: a client that is asked about settings and descriptors reaches neither the
    cluster nor the database. It is closed at the end of a ``with`` block, or by `close`.

    Parameters
    ----------
    configfile : str
        A slurm-config.ini that wins over those of `worker.settings.locations.DEFAULT_PATHS`.
    track_workflows : bool, optional
        Whether there is a `workflowTracker`; by default as slurm-config.ini says. So for the next three. The worker
        itself records every run, whatever is said here.
    enable_job_accounting : bool, optional
        Whether there is a `jobAccounting`.
    enable_job_progress : bool, optional
        Whether there is a `jobProgress`, and a `wfProgress`.
    enable_workflow_analytics : bool, optional
        Whether there is a `workflowAnalytics`.
    config_only : bool
        Kept for those who say so: nothing is opened before it is needed anyway.
    init_slurm : bool
        Whether to set the cluster up at once; see `setup_slurm`.

    Raises
    ------
    SettingsError
        slurm-config.ini or the environment is wrong.
    """

    def __init__(
        self,
        configfile: str = "",
        *,
        track_workflows: bool | None = None,
        enable_job_accounting: bool | None = None,
        enable_job_progress: bool | None = None,
        enable_workflow_analytics: bool | None = None,
        config_only: bool = False,
        init_slurm: bool = False,
    ) -> None:
        del config_only
        super().__init__(configfile)
        kept = self.settings.analytics
        self.track_workflows = _either(track_workflows, kept.track_workflows)
        self.enable_job_accounting = _either(enable_job_accounting, kept.enable_job_accounting)
        self.enable_job_progress = _either(enable_job_progress, kept.enable_job_progress)
        self.enable_workflow_analytics = _either(enable_workflow_analytics, kept.enable_workflow_analytics)
        if init_slurm:
            self.setup_slurm()

    @classmethod
    def from_config(cls, configfile: str = "", init_slurm: bool = False, config_only: bool = False) -> Self:
        """Make a client as slurm-config.ini says.

        Parameters
        ----------
        configfile : str
            A file that wins over the others.
        init_slurm : bool
            Whether to set the cluster up at once.
        config_only : bool
            Kept for those who say so.

        Returns
        -------
        SlurmClient
            The client.
        """
        return cls(configfile, init_slurm=init_slurm, config_only=config_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; the client can be used again, and opens them again."""
        for name in ("_transport", "_database"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
        for name in ("workflowTracker", "jobAccounting", "jobProgress", "wfProgress", "workflowAnalytics"):
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(explain(name, dir(type(self))))

    # --- the cluster ---

    def validate(self, validate_slurm_setup: bool = False) -> bool:
        """Say whether the cluster can be reached; why not, the log says.

        Parameters
        ----------
        validate_slurm_setup : bool
            Whether to look at folders, images and Slurm too, as ``omero-worker cluster check`` does.

        Returns
        -------
        bool
            Whether all is well.
        """
        try:
            self._transport.run(["true"]).check()
            if not validate_slurm_setup:
                return True
            from worker.engine.setup import inspect

            report = inspect(
                self.settings,
                self.settings.cluster("default"),
                self._transport,
                state_dir=self._environment.state_dir,
                report=lambda what: log.info("cluster_check", doing=what),
            )
        except WorkerError as error:
            log.warning("cluster_not_valid", problem=str(error))
            return False
        for item in report.items:
            if item.state == "failed":
                log.warning("cluster_not_valid", what=item.what, problem=item.detail, remedy=item.remedy)
        return not report.failed

    def setup_slurm(self) -> SetupReport:
        """Set the cluster up, as ``omero-worker cluster init`` does; what is as it should be is left as it is.

        Returns
        -------
        SetupReport
            A line for each thing.
        """
        from worker.engine.setup import initialise

        return initialise(
            self.settings, self.settings.cluster("default"), self._transport, state_dir=self._environment.state_dir
        )

    def run_commands(self, cmdlist: Sequence[Sequence[str]], env: Mapping[str, str] | None = None) -> Result:
        """Run programs on the cluster, one after the other, until one fails. No shell looks at what is given.

        Parameters
        ----------
        cmdlist : sequence of sequences of str
            Programs with their arguments, such as ``[["squeue", "--me"], ["sinfo"]]``.
        env : mapping of str to str, optional
            Variables for them.

        Returns
        -------
        Result
            What they wrote, and the exit status of the last.

        Raises
        ------
        TypeError
            Text was given, which a shell would have to read.
        TransportError
            The cluster cannot be reached.
        """
        from worker.cluster.quoting import quote

        if isinstance(cmdlist, str) or any(isinstance(argv, str) for argv in cmdlist):
            raise TypeError("run_commands takes argument lists, such as [['squeue', '--me']]; no shell is given text.")
        prefix = ["env", *(f"{name}={value}" for name, value in env.items())] if env else []
        result = Result()
        for argv in cmdlist:
            done = self._transport.run([*prefix, *argv])
            command = " && ".join(filter(None, (result.command, quote(argv))))
            stdout, stderr = result.stdout + done.stdout.decode("utf-8", "replace"), result.stderr + done.error_text
            result = Result(command, stdout, stderr, done.exit_status)
            if not result.ok:
                break
        return result

    def get_image_versions_and_data_files(self, model: str) -> tuple[list[str], list[str]]:
        """List the versions of a workflow that are on the cluster, the newest first.

        Parameters
        ----------
        model : str
            The workflow.

        Returns
        -------
        versions : list of str
            The versions.
        data_files : list of str
            Always empty: data on the cluster belong to runs, each of which has a folder of its own.

        Raises
        ------
        RequestError
            There is no such workflow.
        TransportError
            The cluster cannot be reached.
        """
        versions, _ = self.get_all_image_versions_and_data_files(self.settings.workflow(model).name)
        return versions[self.settings.workflow(model).name], []

    def get_all_image_versions_and_data_files(self, *models: str) -> tuple[dict[str, list[str]], list[str]]:
        """List the versions of all workflows, or of those named, that are on the cluster, by the workflow's name."""
        from worker.cluster import images

        folders = {name: folder for name, folder in self.slurm_model_paths.items() if not models or name in models}
        found = images.list_images(self._transport, self.slurm_images_path, folders)
        names = self.slurm_model_images
        return {name: list(images.versions_of(files, names.get(name) or "")) for name, files in found.items()}, []

    def check_job_status(self, slurm_job_ids: Sequence[int | str]) -> tuple[dict[int, str], Result]:
        """Ask Slurm for the states of jobs.

        Parameters
        ----------
        slurm_job_ids : sequence of int or str
            The jobs.

        Returns
        -------
        states : dict of int to str
            By job, such as ``RUNNING``; ``UNKNOWN`` for one that Slurm does not know.
        result : Result
            What kept Slurm from saying more, if anything, in ``stderr``.

        Raises
        ------
        TransportError
            The cluster cannot be reached.
        """
        from worker.cluster import slurm

        found = slurm.query(self._transport, [int(job_id) for job_id in slurm_job_ids], {})
        states = {job_id: report.state.value for job_id, report in found.items()}
        return states, Result("query", stdout=str(states), stderr="\n".join(found.problems))

    @cached_property
    def _transport(self) -> Transport:
        from worker.engine.assembly import open_transport

        return open_transport(self.settings.ssh)

    # --- the record ---

    @cached_property
    def workflowTracker(self) -> Any:  # noqa: N802 - notebooks know it so
        """The record of runs (`worker.history.tracker.WorkflowTracker`)."""
        from worker.history.tracker import WorkflowTracker

        return WorkflowTracker(self._database) if self.track_workflows else NoOpWorkflowTracker()

    @cached_property
    def jobAccounting(self) -> Any:  # noqa: N802
        """Whose job each Slurm job is (`worker.history.followers.JobAccounting`)."""
        return self._follower("JobAccounting", wanted=self.enable_job_accounting)

    @cached_property
    def jobProgress(self) -> Any:  # noqa: N802
        """How far each Slurm job is (`worker.history.followers.JobProgress`)."""
        return self._follower("JobProgress", wanted=self.enable_job_progress)

    @cached_property
    def wfProgress(self) -> Any:  # noqa: N802
        """How far each run is (`worker.history.followers.WorkflowProgress`)."""
        return self._follower("WorkflowProgress", wanted=self.enable_job_progress)

    @cached_property
    def workflowAnalytics(self) -> Any:  # noqa: N802
        """How long tasks take, and why they fail (`worker.history.followers.WorkflowAnalytics`)."""
        return self._follower("WorkflowAnalytics", wanted=self.enable_workflow_analytics)

    def initialize_analytics_system(self, reset_tables: bool = False) -> None:
        """Make the tables of the record where they are missing, and bring its views up to date.

        Parameters
        ----------
        reset_tables : bool
            Whether to compute the views anew from the log. The log itself is the truth, and is never reset.
        """
        if not self.track_workflows:
            return
        if reset_tables:
            self.workflowTracker.projection.rebuild()
        self.workflowTracker.pull_and_process()

    def bring_listener_uptodate(self, listener: Any, start: int = 1) -> None:
        """Let a follower, such as `jobAccounting`, follow what it has not followed yet."""
        listener.pull_and_process(leader_name="WorkflowTracker", start=start)

    def list_active_jobs(self) -> list[str]:
        """List the Slurm jobs of our runs that go on, the newest run first."""
        return [str(job.job_id) for job in self._jobs() if job.active]

    def list_completed_jobs(self) -> list[str]:
        """List the Slurm jobs of our runs that have ended well, the newest run first."""
        return [str(job.job_id) for job in self._jobs() if not job.active and job.status == "COMPLETED"]

    def list_all_jobs(self) -> list[str]:
        """List the Slurm jobs of our runs, the newest run first."""
        return [str(job.job_id) for job in self._jobs()]

    def get_active_job_progress(self, slurm_job_id: int | str) -> str | None:
        """Say how far a job was at the last look, such as ``43%``; None if that is not known."""
        jobs = self._jobs(int(slurm_job_id))
        return jobs[0].progress if jobs else None

    def _jobs(self, job_id: int | None = None) -> list[Any]:
        from worker.history.jobs import jobs_of

        return jobs_of(self._database, None, job_id=job_id)

    def _follower(self, name: str, *, wanted: bool) -> Any:
        from worker.history import followers

        return getattr(followers, name)(self._database) if wanted and self.track_workflows else NoOpWorkflowTracker()

    @cached_property
    def _database(self) -> Database:
        from worker.history.database import Database

        url = self._environment.sqlalchemy_url or self.settings.analytics.sqlalchemy_url
        file = self._environment.state_dir / "history.sqlite"
        database = Database(url.get_secret_value() if url else None, sqlite_path=file)
        database.migrate()
        return database


def _either(said: bool | None, otherwise: bool) -> bool:
    return otherwise if said is None else said
