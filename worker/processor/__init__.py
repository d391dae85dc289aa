"""OMERO.grid Processor-0: the process class that forwards the environment."""
