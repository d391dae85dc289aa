"""The dataset that result images go into: an existing one, or a new one beside the analysed images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero.model
from omero.rtypes import rstring

from worker.results.targets import Target, find_or_create, own_by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.results.ledger import Ledger
    from worker.results.model import ImportOptions
    from worker.results.surroundings import Place, Surroundings

_OWN_DATASETS = """
select d.id, p.id from Dataset d left outer join d.projectLinks l left outer join l.parent p
where d.name = :name and d.details.owner.id = :user
"""


def target_dataset(
    ledger: Ledger, options: ImportOptions, surroundings: Surroundings, annotations: Sequence[Any]
) -> tuple[Place, tuple[str, ...]]:
    """Find or create the dataset for result images.

    The id beats the name. A dataset that this run created is used again. Otherwise a dataset with this name that
    belongs to this person, in this group, is used unless duplicates were allowed: one in a project of the analysed
    images first, then one in no project, the oldest of several. One in another project is about something else and is
    left alone. A new one is linked to the project of the analysed images where there is just one that this person may
    put things into.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    options : ImportOptions
        What the person chose; it must import images.
    surroundings : Surroundings
        Where the analysed images lie.
    annotations : Sequence of omero.model.MapAnnotationI
        Annotations to link to a dataset that is created; saved with it if they are not yet.

    Returns
    -------
    dataset : Place
        The dataset.
    notes : tuple of str
        What a person should know about it.

    Raises
    ------
    RequestError
        If the chosen id is not that of a dataset that this person can see.
    """
    name = options.new_dataset or ""
    return find_or_create(
        ledger,
        Target("Dataset", options.dataset_id, name, options.allow_duplicate_dataset),
        lambda: _own_datasets(ledger, name, surroundings),
        lambda: _new_dataset(name, surroundings, annotations),
    )


def _own_datasets(ledger: Ledger, name: str, surroundings: Surroundings) -> list[int]:
    projects_of = own_by_name(ledger, _OWN_DATASETS, name)
    ours = {place.object_id for place in surroundings.projects}
    near = sorted(each for each, projects in projects_of.items() if projects & ours)
    return near or sorted(each for each, projects in projects_of.items() if not projects)


def _new_dataset(name: str, surroundings: Surroundings, annotations: Sequence[Any]) -> tuple[Any, tuple[str, ...]]:
    dataset = omero.model.DatasetI()
    dataset.setName(rstring(name))
    for annotation in annotations:
        dataset.linkAnnotation(annotation)
    open_projects = [place for place in surroundings.projects if place.may_link]
    if len(open_projects) == 1:
        link = omero.model.ProjectDatasetLinkI()
        link.setParent(omero.model.ProjectI(open_projects[0].object_id, False))
        link.setChild(dataset)
        dataset.addProjectDatasetLink(link)
        return dataset, ()
    if open_projects:
        return dataset, (f"Dataset {name!r} is in no project: the analysed images are in {len(open_projects)}.",)
    if surroundings.projects:
        return dataset, (f"Dataset {name!r} is in no project: {surroundings.projects[0]} is not open to you.",)
    return dataset, ()
