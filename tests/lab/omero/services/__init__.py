"""The services behind a session, one module per kind."""
