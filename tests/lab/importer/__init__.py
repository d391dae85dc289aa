"""The released biomero-importer in the lab."""
