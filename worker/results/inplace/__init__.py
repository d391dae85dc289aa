"""Results in place: they stay on the storage of the group, and the importer registers them in OMERO."""
