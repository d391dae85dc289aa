#!/bin/bash
# Install the real apptainer (and its old name, singularity) under /opt/apptainer on Debian 12, which has no package of
# it. The package comes from Debian's unstable release, of the same mirror that this machine uses, and is unpacked, not
# installed: unstable's C library lies beside it and the two ELF programs are pointed at that one. The system's own C
# library and apt sources stay as they are.
set -euo pipefail
prefix=${1:-/opt/apptainer}

# Unprivileged users mount images through FUSE; some machines have the device for root alone.
open_fuse() { [ ! -c /dev/fuse ] || chmod 666 /dev/fuse; }

if "$prefix/bin/apptainer" --version >/dev/null 2>&1 && command -v singularity >/dev/null; then
    [ -w /dev/fuse ] || open_fuse
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "apptainer is missing. Run 'make install' once as root." >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,packages}

mirror=$(apt-get indextargets --format "\$(RELEASE) \$(REPO_URI)" 'Created-By: Packages' |
    awk '($1 == "bookworm" || $1 == "stable") && !found++ { print $2 }')
if [ -z "$mirror" ]; then
    echo "apt knows no Debian mirror on this machine; apptainer cannot be fetched." >&2
    exit 1
fi
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$work/sources.list"
# A mirror may be a snapshot: its list is signed, but older than apt would have it.
apart=(-qq -o Acquire::Check-Valid-Until=false -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
echo "Installing apptainer under $prefix"
(
    cd "$work/packages"
    apt-get "${apart[@]}" update
    apt-get "${apart[@]}" download apptainer libc6 libseccomp2 libsqlite3-0
    dpkg-deb -x apptainer_*.deb "$work/apptainer"
    for library in lib*.deb; do dpkg-deb -x "$library" "$work/libraries"; done
)

rm -rf "$prefix"
mkdir -p "$prefix"/{etc,glibc,lib/var/lib/apptainer/mnt/session}
cp -a "$work/apptainer/usr/." "$prefix/"
cp -a "$work/apptainer/etc/." "$prefix/etc/"
ln -sfn ../etc "$prefix/lib/etc" # compiled in as ../lib/etc, relative to the program
from=$work/libraries/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")
cp -a "$from"/{ld-linux-*.so.2,libc.so.6,libm.so.6,libresolv.so.2,libpthread.so.0,libdl.so.2} "$prefix/glibc/"
cp -a "$from"/{libseccomp.so*,libsqlite3.so*} "$prefix/glibc/"
loader=$(echo "$prefix"/glibc/ld-linux-*.so.2)
find "$prefix/bin/apptainer" "$prefix/lib" \( -name apptainer -o -name starter \) -type f -print0 |
    while IFS= read -r -d '' program; do
        # DT_RPATH, not RUNPATH: libraries of libraries must come from here too.
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$prefix/glibc" "$program"
    done
ln -sfn "$prefix/bin/apptainer" /usr/local/bin/apptainer
ln -sfn apptainer /usr/local/bin/singularity
open_fuse
apptainer --version
