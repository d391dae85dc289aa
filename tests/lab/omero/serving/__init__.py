"""The Ice side: adapters, the router, dispatching, and the process."""
