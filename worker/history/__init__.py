"""What happened: aggregates, tracker, projections, tables and migrations."""
