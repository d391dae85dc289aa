"""An importer of the tests' own, which makes images of the files of an archive at once, as the released one does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import omero.model
from omero.rtypes import rint, rlong, rstring

from tests.lab.omero.images import import_image
from worker.results.inplace.arrivals import Arrivals, find_arrivals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omero.gateway import BlitzGateway

    from worker.results.inplace.layout import ArchiveLayout

PIXELS: Final = np.zeros((1, 1, 1, 4, 5), "uint8")


@dataclass(frozen=True, slots=True)
class Storage:
    """An archive, and an importer that makes images of what lies in it."""

    gateway: BlitzGateway
    layout: ArchiveLayout

    def of_file(self, path: str, *names: str, dataset: int | None = None, prefix: str = "") -> list[int]:
        """Make a fileset of a file, with an image for each of its series."""
        full = f"{prefix}{self.layout.results}/{path}"
        fileset = omero.model.FilesetI()
        fileset.setTemplatePrefix(rstring("alice_2/2026-03/"))
        entry = omero.model.FilesetEntryI()
        # As OMERO's client writes it: without the slash at the beginning.
        entry.setClientPath(rstring(full.lstrip("/")))
        file = omero.model.OriginalFileI()
        file.setName(rstring(Path(path).name))
        file.setPath(rstring("alice_2/2026-03/"))
        file.setSize(rlong(0))
        entry.setOriginalFile(file)
        fileset.addFilesetEntry(entry)
        fileset_id = self._save(fileset).getId().val
        ids = []
        for series, name in enumerate(names):
            image_id = import_image(self.gateway, PIXELS, name, dataset)
            image = self._get("Image", image_id)
            image.setFileset(omero.model.FilesetI(fileset_id, False))
            image.setSeries(rint(series))
            self._save(image)
            ids.append(image_id)
        return ids

    def of_zarr(self, path: str, name: str, dataset: int | None = None) -> int:
        """Register OME-Zarr."""
        image_id = import_image(self.gateway, PIXELS, name, dataset)
        image = self._get("Image", image_id)
        info = omero.model.ExternalInfoI()
        info.setEntityId(rlong(3))
        info.setEntityType(rstring("com.glencoesoftware.ngff:multiscales"))
        info.setLsid(rstring(f"{self.layout.results}/{path}"))
        image.getDetails().setExternalInfo(info)
        self._save(image)
        return int(image_id)

    def of_plate(self, path: str, *fields: str) -> tuple[int, list[int]]:
        """Register an OME-Zarr with a plate, as far as it comes: a well for each field."""
        plate = omero.model.PlateI()
        plate.setName(rstring(path))
        plate_id = self._save(plate).getId().val
        ids = [self.of_zarr(f"{path}/{field}/", field) for field in fields]
        for column, image_id in enumerate(ids):
            well = omero.model.WellI()
            well.setPlate(omero.model.PlateI(plate_id, False))
            well.setRow(rint(0))
            well.setColumn(rint(column))
            sample = omero.model.WellSampleI()
            sample.setImage(omero.model.ImageI(image_id, False))
            well.addWellSample(sample)
            self._save(well)
        return plate_id, ids

    def find(self, *paths: str, parts: Mapping[str, frozenset[str]] | None = None) -> Arrivals:
        return find_arrivals(self.gateway, self.layout, paths, parts or {})

    def _get(self, kind: str, object_id: int) -> Any:
        return self.gateway.getQueryService().get(kind, object_id, self.gateway.SERVICE_OPTS)

    def _save(self, item: Any) -> Any:
        return self.gateway.getUpdateService().saveAndReturnObject(item, self.gateway.SERVICE_OPTS)
