"""The part of `SlurmClient` that needs neither cluster nor database: settings and descriptors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.analyses import catalogue as catalogues
from worker.errors import RequestError
from worker.facade import descriptions
from worker.settings import locations
from worker.settings.environment import read_environment
from worker.settings.loader import load_settings

if TYPE_CHECKING:
    from worker.analyses.model import Analysis
    from worker.settings.models import Settings


class ConfiguredClient:
    """What an admin has set, and what analyses say of themselves.

    Parameters
    ----------
    configfile : str
        A slurm-config.ini that wins over those of `worker.settings.locations.DEFAULT_PATHS`.

    Raises
    ------
    SettingsError
        slurm-config.ini or the environment is wrong.
    """

    _DEFAULT_CONFIG_PATH_1, _DEFAULT_CONFIG_PATH_2, _DEFAULT_CONFIG_PATH_3 = map(str, locations.DEFAULT_PATHS)

    def __init__(self, configfile: str = "") -> None:
        self._environment = read_environment()
        self.settings: Settings = load_settings(Path(configfile) if configfile else self._environment.config_file)
        """Everything that an admin has set."""

    # --- settings ---

    @property
    def host(self) -> str:
        """Alias of the cluster in the ssh configuration."""
        return self.settings.ssh.host

    @property
    def slurm_data_path(self) -> str:
        """Folder of the runs' data on the cluster."""
        return self.settings.slurm.slurm_data_path

    @property
    def slurm_images_path(self) -> str:
        """Folder of the container images on the cluster."""
        return self.settings.slurm.slurm_images_path

    @property
    def slurm_converters_path(self) -> str:
        """Folder of the converters on the cluster."""
        return self.settings.slurm.slurm_converters_path

    @property
    def slurm_script_path(self) -> str:
        """Folder of the job scripts on the cluster."""
        return self.settings.slurm.slurm_script_path

    @property
    def slurm_model_paths(self) -> dict[str, str]:
        """Image folder of each workflow, below `slurm_images_path`."""
        return {name: workflow.image_folder for name, workflow in self.settings.workflows.items()}

    @property
    def slurm_model_repos(self) -> dict[str, str]:
        """Repository of each workflow's descriptor; empty where none is named."""
        return {name: workflow.repo or "" for name, workflow in self.settings.workflows.items()}

    @property
    def slurm_model_jobs(self) -> dict[str, str]:
        """Job script of each workflow; empty where it is made for each run."""
        return {name: workflow.job or "" for name, workflow in self.settings.workflows.items()}

    @property
    def slurm_model_images(self) -> dict[str, str]:
        """Container image of each workflow; empty as long as its descriptor has not been read."""
        known = {entry.name: entry.analysis for entry in self._catalogue.entries if entry.analysis is not None}
        return {name: known[name].image if name in known else "" for name in self.settings.workflows}

    # --- descriptors ---

    def pull_descriptor_from_github(self, workflow: str) -> dict[str, Any]:
        """Read the descriptor of a workflow, with the words of the oldest schema (``Number``).

        Parameters
        ----------
        workflow : str
            Its name.

        Returns
        -------
        dict
            The descriptor.
        """
        return descriptions.describe(self._analysis(workflow), words=descriptions.NUMBER_WORDS)

    def generic_descriptor_from_github(self, workflow: str) -> dict[str, Any]:
        """Read a descriptor of whatever schema.

        Parameters
        ----------
        workflow : str
            Name of a workflow, or the address of a repository.

        Returns
        -------
        dict
            The descriptor, with ``integer`` and ``float`` told apart.

        Raises
        ------
        RequestError
            There is no such workflow.
        DescriptorError
            The descriptor is wrong or cannot be read.
        """
        return descriptions.describe(self._analysis(workflow))

    def get_workflow_parameters(self, workflow: str) -> dict[str, dict[str, Any]]:
        """List the parameters of a workflow that a person may set; see `worker.facade.descriptions.parameters`."""
        return descriptions.parameters(self._analysis(workflow))

    def get_file_attachment_params(self, workflow: str) -> dict[str, dict[str, Any]]:
        """List the parameters of a workflow whose values are files of OMERO."""
        return descriptions.parameters(self._analysis(workflow), files=True)

    convert_param_type_to_omtype = staticmethod(descriptions.omero_type)

    @staticmethod
    def extract_parts_from_url(url: str) -> tuple[list[str], str]:
        """Split the address of a GitHub repository.

        Parameters
        ----------
        url : str
            Such as ``https://github.com/org/repo/tree/v1.0``.

        Returns
        -------
        parts : list of str
            What stands between slashes: ``parts[3]`` is the organisation, ``parts[4]`` the repository.
        ref : str
            Branch or tag; ``master`` if none is named.

        Raises
        ------
        ValueError
            It is another address.
        """
        parts = url.rstrip("/").split("/")
        if len(parts) < 5 or parts[2] != "github.com" or not all(parts[3:5]):
            raise ValueError(f"{url!r} is not the address of a GitHub repository.")
        return parts, parts[6] if len(parts) > 6 and parts[5] == "tree" else "master"

    @staticmethod
    def parse_docker_image_version(image: str) -> tuple[str | None, str]:
        """Split the name of a container image into its tag (None if there is none) and the rest."""
        path, _, last = image.rpartition("/")
        name, _, tag = last.partition(":")
        return tag or None, f"{path}/{name}" if path else name

    def _analysis(self, workflow_or_url: str) -> Analysis:
        """Find a descriptor: as the dialogs show it, else in its repository."""
        from worker.analyses.sources import read_analysis
        from worker.analyses.tokens import Tokens

        url: str | None = workflow_or_url
        if "://" not in workflow_or_url:
            workflow = self.settings.workflow(workflow_or_url)
            entry = self._catalogue.entry(workflow.name)
            if entry is not None and entry.analysis is not None:
                return entry.analysis
            url = workflow.repo
        if url is None:
            raise RequestError(
                f"slurm-config.ini names no repository for {workflow_or_url}.", remedy=f"Set {workflow_or_url}_repo."
            )
        cache = self._environment.state_dir / "descriptors"
        return read_analysis(url, cache_dir=cache, tokens=Tokens.of(self.settings.analyses))

    @property
    def _catalogue(self) -> catalogues.Catalogue:
        return catalogues.load(catalogues.catalogue_path(self._environment.state_dir))
