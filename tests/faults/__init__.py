"""Parts that fail on purpose: wrappers around the real ones, with the same interface."""
