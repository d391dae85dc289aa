"""Validation of OME-Zarr trees against the models of ome-zarr-models."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Literal

import ome_zarr_models.v04
import ome_zarr_models.v05
import pydantic_zarr.v2
import zarr
from pydantic import BaseModel

if TYPE_CHECKING:
    from pathlib import Path

MODELS: dict[tuple[str, str], Any] = {
    ("0.4", "image"): ome_zarr_models.v04.Image,
    ("0.4", "plate"): ome_zarr_models.v04.HCS,
    ("0.5", "image"): ome_zarr_models.v05.Image,
    ("0.5", "plate"): ome_zarr_models.v05.HCS,
}


def validate(path: Path, version: str, kind: Literal["image", "plate"]) -> Any:
    """Validate a tree, groups and arrays alike, and give the model of it."""
    _complete_models()
    return MODELS[version, kind].from_zarr(zarr.open_group(str(path), mode="r"))


def _complete_models() -> None:
    """Resolve forward references that the models for 0.4 leave open under recent versions of pydantic."""
    for module_info in pkgutil.iter_modules(ome_zarr_models.v04.__path__):
        module = importlib.import_module(f"ome_zarr_models.v04.{module_info.name}")
        for value in list(vars(module).values()):
            is_model = isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
            if is_model and not value.__pydantic_complete__:
                value.model_rebuild(_types_namespace={**vars(pydantic_zarr.v2), **vars(module)}, raise_errors=False)
