"""Cluster to OMERO: manifest, matching, images, tables, attachments and annotations."""
