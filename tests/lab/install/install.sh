#!/bin/bash
# Install everything that the tests and their lab need, on Debian 12. Quick when there is nothing to do.
#
# From the network come Debian's packages (by apt, with the mirror of this machine) and Python's (by pip, with its index),
# and nothing else. What waits for the one is done beside what waits for the other.
set -euo pipefail
umask 022 # what is installed is for every account, also where root's own files are not
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT # what is still at work when something has failed

"$here/apt.sh"
"$here/apptainer.sh" &
apptainer=$!
"$here/venv.sh"
wait "$apptainer"
"$here/importer.sh" >/dev/null &
importer=$!
cd "$here/../../.."
.venv/bin/python -m tests.lab prepare
wait "$importer"
