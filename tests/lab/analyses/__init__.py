"""Analyses that run on the lab's cluster, as container images with descriptors."""
