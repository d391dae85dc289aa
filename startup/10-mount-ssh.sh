#!/bin/bash
# Gives this container the SSH keys, config and known_hosts of the cluster, from the folder mounted at /tmp/.ssh.
#
# They are copied afresh at every start, so that rotated keys count after a restart, and with the owner and the modes
# that SSH asks for, so that nobody has to open the folder on the host to everybody.
set -euo pipefail
umask 077

source_dir=${OMERO_WORKER_SSH_SOURCE:-/tmp/.ssh}
target_dir=${OMERO_WORKER_SSH_TARGET:-${HOME:?}/.ssh}
role=${OMERO_WORKER_ROLE:-node}

# The engine can do nothing without the cluster. The node also runs scripts that never go there: it only says so.
problem() {
    printf 'omero-worker: %s\n' "$@" >&2
    if [ "$role" = engine ]; then
        exit 1
    fi
    exit 0
}

fresh=$(mktemp -d "$target_dir.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

unreadable=()
keys=0
if [ -d "$source_dir" ]; then
    # -L: a folder made by an orchestrator consists of symbolic links.
    while IFS= read -r -d '' file; do
        name=${file#"$source_dir"/}
        if [ ! -r "$file" ]; then
            unreadable+=("$name")
            continue
        fi
        mkdir -p "$fresh/$(dirname "$name")"
        cp -L "$file" "$fresh/$name"
        chmod 600 "$fresh/$name"
        if head -n 1 "$fresh/$name" | grep -q 'PRIVATE KEY-----'; then
            keys=$((keys + 1))
        fi
    done < <(find -L "$source_dir" -type f -print0 2>/dev/null)
fi

rm -rf "$target_dir"
mv "$fresh" "$target_dir"
trap - EXIT

if [ ${#unreadable[@]} -gt 0 ]; then
    printf 'omero-worker: not readable by uid %s, left out: %s\n' "$(id -u)" "${unreadable[*]}" >&2
fi
if [ ! -d "$source_dir" ]; then
    problem "no SSH folder is mounted at $source_dir." \
        "Mount the folder with the key, config and known_hosts of the cluster there, read-only."
fi
if [ "$keys" -eq 0 ]; then
    problem "there is no private key in $source_dir that uid $(id -u) can read." \
        "Put the key of the cluster account there, owned by uid $(id -u), mode 0600."
fi
if ! grep -qs '^[^#[:space:]]' "$target_dir/known_hosts" /etc/ssh/ssh_known_hosts; then
    problem "there is no known_hosts in $source_dir; host keys are checked, so no cluster can be reached." \
        "Write it with 'ssh-keyscan <host>', and compare the fingerprints with those that the cluster's admins publish."
fi
printf 'omero-worker: %s SSH key(s) from %s\n' "$keys" "$source_dir"
