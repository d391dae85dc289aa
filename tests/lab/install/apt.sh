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
restore_policy() {
    rm -f "$policy"
    [ -z "$saved" ] || mv "$saved" "$policy"
}
if [ -e "$policy" ]; then
    saved=$policy.before-lab
    mv "$policy" "$saved"
fi
trap restore_policy EXIT
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
quietly=(-qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
apt-get "${quietly[@]}" update </dev/null
apt-get "${quietly[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
