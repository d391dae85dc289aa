#!/bin/bash
# The real one starts the Java server.
echo "the base's own 99-run.sh must not run in a worker" >&2
exit 1
