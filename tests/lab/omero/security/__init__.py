"""Who may do what: people, passwords, sessions and rights."""
