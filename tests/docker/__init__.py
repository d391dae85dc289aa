"""The container image, really built and run, on a local base that looks like openmicroscopy/omero-server."""
