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

wheel=$("$here/zeroc_ice/build.sh" "$python")
echo "Installing the Python environment .venv"
is_311 .venv/bin/python || "$python" -m venv --clear .venv
pip=(.venv/bin/python -m pip --disable-pip-version-check -qq) # -qq: errors alone
rm -f "$stamp"
# A local file, so that the lock's hash of the sources does not apply to it; pip then finds the requirement satisfied.
"${pip[@]}" install --no-deps "$wheel"
"${pip[@]}" install -r requirements-dev.lock
"${pip[@]}" install --no-deps --editable .
echo "$wanted" >"$stamp"
