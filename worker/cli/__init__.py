"""The ``omero-worker`` command."""
