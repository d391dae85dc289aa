#!/bin/bash
# Make the virtual environment of the released biomero-importer, below $XDG_CACHE_HOME/omero-worker: its requirements are
# not ours, and every checkout uses the same one. Prints its directory. Skipped when the stamp in it says that it was
# made from this very requirements.txt.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
# The Python that .venv is made of: its zeroc-ice is built already.
python=$("$root/.venv/bin/python" -c 'import sys; print(sys._base_executable)')
requirements=$here/../importer/requirements.txt

wanted=$({
    "$python" -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version)'
    cat "$requirements"
} | sha256sum | cut -d' ' -f1)
environments=${XDG_CACHE_HOME:-$HOME/.cache}/omero-worker/importer
venv=$environments/${wanted:0:16}
echo "$venv"
[ ! -f "$venv/.complete" ] || exit 0

wheel=$("$here/zeroc_ice/build.sh" "$python")
echo "Installing the released importer" >&2
mkdir -p "$environments"
exec 9>"$environments/.lock"
flock 9 # two checkouts may be installed at the same time
[ ! -f "$venv/.complete" ] || exit 0
"$python" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check -qq install --no-deps)
"${pip[@]}" "$wheel"
# Without what the lock cannot give by its hash: the wheel of zeroc-ice is ours, psycopg2-binary stands for psycopg2.
"${pip[@]}" -r "$requirements" || {
    echo "The released importer could not be installed. Does pip reach its index ('pip config list')?" >&2
    exit 1
}
touch "$venv/.complete"
# Each takes 360 MB. Another checkout may be at work with the one before this.
find "$environments" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +3 | cut -d' ' -f2- |
    xargs -r -d '\n' rm -rf
