#!/bin/bash
# Install the Debian packages of packages.txt. Touches apt only if one of them is missing, and starts no service:
# the lab starts its own daemons, below its own directory and on its own ports.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mapfile -t wanted < <(grep -v '^#' "$here/packages.txt")

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "These Debian packages are missing: ${missing[*]}. Run 'make install' once as root." >&2
    exit 1
fi

# invoke-rc.d asks this file whether it may start a service; 101 means no. Whatever stood there before comes back.
policy=/usr/sbin/policy-rc.d
saved=
log=$(mktemp)
tidy_up() {
    rm -f "$log" "$policy"
    [ -z "$saved" ] || mv "$saved" "$policy"
}
if [ -e "$policy" ]; then
    saved=$policy.before-lab
    mv "$policy" "$saved"
fi
trap tidy_up EXIT
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
# dpkg has more than a thousand lines to say on a bare machine; the last of them are of use if it fails.
apt() {
    apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        echo "The Debian packages could not be installed: 'apt-get $1' failed." >&2
        return 1
    }
}
echo "Installing ${#missing[@]} Debian packages (up to two minutes): ${missing[*]}"
apt update
apt install -y --no-install-recommends "${missing[@]}"
