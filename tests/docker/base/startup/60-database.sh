#!/bin/bash
# The real one waits for the server's database, which a worker does not have; a worker must remove it.
echo "60-database.sh must not run in a worker" >&2
exit 1
