"""What OMERO.web shows: building and reading of parameters, shared by the scripts."""
