#!/usr/local/bin/dumb-init /bin/bash
# shellcheck shell=bash
# Runs everything executable in /startup in lexical order, as the real base does.
set -e
# shellcheck source=/dev/null
source /opt/omero/server/venv3/bin/activate
for step in /startup/*; do
    [[ -f $step && -x $step ]] || continue
    echo "Running $step"
    "$step" "$@"
done
