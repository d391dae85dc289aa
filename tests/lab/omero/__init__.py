"""A stand-in for the OMERO server at the level of Ice, for tests of unmodified OMERO clients."""
