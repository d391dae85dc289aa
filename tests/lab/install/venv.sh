#!/bin/bash
# Make .venv and install what requirements-dev.lock says, and the package itself in place. Skipped when the stamp in
# .venv says that it was made from these very files.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cd "$root"

is_311() { [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.11 ]; }
find_python() {
    # Debian's own first: daemons that run as other users must be able to read it, which they are not in a home.
    local candidate
    for candidate in /usr/bin/python3 python3.11 python3; do
        if is_311 "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "Python 3.11 is needed, and none was found." >&2
    return 1
}

python=$(find_python)
stamp=.venv/.installed-from
wanted=$({
    echo "$root $python"
    cat requirements-dev.lock pyproject.toml
} | sha256sum | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

echo "Installing the Python environment .venv"
work=$(mktemp -d)
"$here/zeroc_ice/build.sh" "$python" >"$work/wheel" &
building=$!
trap 'kill "$building" 2>/dev/null || true; rm -rf "$work"' EXIT
is_311 .venv/bin/python || "$python" -m venv --clear .venv
pip() { # -qq: errors alone; --no-deps: the lock is whole, so that nothing has to be resolved
    .venv/bin/python -m pip --disable-pip-version-check -qq install --no-deps "$@" || {
        echo "The Python packages could not be installed. Does pip reach its index ('pip config list')?" >&2
        return 1
    }
}
rm -f "$stamp"
# All but what is compiled meanwhile, whose wheel is not the one that the lock has the hash of.
sed '/^zeroc-ice==/,/[^\\]$/d' requirements-dev.lock >"$work/requirements"
pip -r "$work/requirements"
wait "$building"
pip "$(cat "$work/wheel")"
pip --editable .
echo "$wanted" >"$stamp"
