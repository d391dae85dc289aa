"""A catalogue with two workflows, and a person."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.model import Analysis, Parameter


@dataclass(frozen=True)
class Alice:
    user_id: int = 3
    user_name: str = "alice"
    group_id: int = 5
    group_name: str = "cells"
    email: str | None = "alice@example.org"


NUCLEI = Analysis(
    "Nuclei segmentation",
    "Finds nuclei.",
    "org/w_nuclei",
    "cytomine-0.1",
    (
        Parameter(
            "diameter", "Diameter", "integer", default=30, optional=True, flag="--diameter", minimum=1, maximum=500
        ),
        Parameter("threshold", "Threshold", "float", default=0.1, optional=True, flag="--threshold"),
        Parameter("invert", "Invert", "boolean", default=None, optional=True, flag="--invert"),
        Parameter("model", "Model", "string", default="fast", optional=True, flag="--model", choices=("fast", "slow")),
        Parameter("label", "Label", "string", default=None, optional=True, flag="--label"),
        Parameter("cytomine_host", "Host", "string", default="", optional=True, flag="--host", set_by_server=True),
    ),
)


@pytest.fixture
def alice() -> Alice:
    return Alice()


@pytest.fixture
def anonymous() -> Alice:
    return Alice(email=None)


@pytest.fixture
def suspicious() -> Alice:
    return Alice(email="a@b.c --uid=0;reboot")


@pytest.fixture
def nuclei() -> CatalogueEntry:
    return CatalogueEntry("nuclei", ("v2", "v1"), NUCLEI)


@pytest.fixture
def catalogue(nuclei: CatalogueEntry) -> Catalogue:
    other = CatalogueEntry("spot_counter", (), None, "Its repository does not answer.")
    return Catalogue((nuclei, other), "2026-01-02T03:04:05+00:00", "The cluster did not answer at 03:04.")
