"""What happened: the events of runs and tasks, the views on them, and the tables in which both are kept."""
