"""Programs that convert images on the cluster, each with the definition of its container image."""
