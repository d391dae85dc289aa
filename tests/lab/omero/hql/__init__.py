"""The query language of OMERO, as far as its clients use it."""
