"""Status pages, metrics and preview tiles."""
