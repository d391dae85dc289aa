#!/bin/bash
# Build the wheel of zeroc-ice 3.6.5 for this Python into $XDG_CACHE_HOME/omero-worker/wheels, unless it lies there.
# PyPI has its sources alone, and these neither compile on CPython 3.11 as they are (icepy311.h, eval.h) nor on more
# than one core (parallel_setup.py). About two minutes on two idle cores.
#
# build.sh PYTHON   prints the path of the wheel
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$1
version=3.6.5
wheels=${XDG_CACHE_HOME:-$HOME/.cache}/omero-worker/wheels
tag=$("$python" -c 'import sys; print(f"cp{sys.version_info.major}{sys.version_info.minor}")')

# parallel_setup.py reaches into setuptools, so the versions are those of the lock, not the newest of the day.
mapfile -t tools < <(sed -nE 's/^((setuptools|wheel)==[^ ]+).*/\1/p' "$here/../../../../requirements-dev.lock")

wheel_there() { find "$wheels" -name "zeroc_ice-$version-$tag-*.whl" -print -quit 2>/dev/null | grep .; }
if wheel_there; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "Building zeroc-ice $version for $tag (two minutes, more if the machine is busy)" >&2
{
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install "${tools[@]}"
    "$work/venv/bin/pip" download --no-deps --no-build-isolation --no-binary :all: -d "$work" "zeroc-ice==$version"
    tar -C "$work" -xzf "$work"/zeroc?ice-$version.tar.gz
    cd "$work"/zeroc?ice-$version
    # Newer versions of setuptools compile C++ with CXXFLAGS, older ones with CFLAGS.
    flags="-I$here -include $here/icepy311.h -O1 -g0 -w"
    CXXFLAGS=$flags CFLAGS=$flags "$work/venv/bin/python" "$here/parallel_setup.py" bdist_wheel --dist-dir "$work/dist"
} >"$work/build.log" 2>&1 || {
    tail -n 40 "$work/build.log" >&2
    echo "zeroc-ice could not be built; it needs g++, libssl-dev, libbz2-dev and python3-dev." >&2
    exit 1
}
mkdir -p "$wheels"
for wheel in "$work"/dist/*.whl; do
    # A wheel is either there as a whole or not at all.
    cp "$wheel" "$wheels/.unfinished.$$"
    mv "$wheels/.unfinished.$$" "$wheels/$(basename "$wheel")"
done
wheel_there
