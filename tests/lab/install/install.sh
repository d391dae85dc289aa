#!/bin/bash
# Install everything that the tests and their lab need, on Debian 12. Quick when there is nothing to do.
set -euo pipefail
umask 022 # what is installed is for every account, also where root's own files are not
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/apt.sh"
"$here/apptainer.sh"
"$here/venv.sh"
"$here/importer.sh" >/dev/null
cd "$here/../../.."
exec .venv/bin/python -m tests.lab prepare
