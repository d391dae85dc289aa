"""Reports of runs: what was done, with what, what came of it, and what nobody knows; from the record alone."""
