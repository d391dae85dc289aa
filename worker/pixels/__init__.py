"""OMERO to OME-Zarr: session, plate index, readers, writers and the export manifest."""
