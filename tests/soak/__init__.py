"""``make soak``: many runs, an engine that is killed again and again, and a look at what is there at the end."""
