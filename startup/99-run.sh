#!/bin/bash
# Starts what this container is for: a node of OMERO.grid (OMERO_WORKER_ROLE=node, the default), on which the master
# runs Processor-0; or the engine, which drives the runs (OMERO_WORKER_ROLE=engine).
set -euo pipefail

timeout_s=${OMERO_WORKER_START_TIMEOUT_S:-300}

die() {
    printf 'omero-worker: %s\n' "$@" >&2
    exit 1
}

require() {
    local name
    for name in "$@"; do
        [ -n "${!name:-}" ] || die "$name is not set."
    done
}

# Prints the IPv4 address of a host. Its container may not be there yet.
resolve() {
    local found
    until found=$(getent ahostsv4 "$1"); do
        [ "$SECONDS" -lt "$timeout_s" ] || die "the name $1 could not be resolved for $timeout_s s." \
            "It must be the name of a service in the same network ($2)."
        sleep 1
    done
    printf '%s\n' "${found%%[[:space:]]*}"
}

wait_for_port() {
    until timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; do
        [ "$SECONDS" -lt "$timeout_s" ] || die "$3 at $1:$2 did not answer for $timeout_s s." "$4"
        sleep 1
    done
}

run_engine() {
    exec omero-worker serve
}

run_node() {
    require CONFIG_omero_master_host OMERO_WORKER_NAME OMERODIR
    local name=$OMERO_WORKER_NAME master worker port
    [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] || die "OMERO_WORKER_NAME is '$name', which cannot be the name of a node."
    cd "$OMERODIR"

    # shellcheck disable=SC2154  # the name of this variable is OMERO's, not ours
    master=$(resolve "$CONFIG_omero_master_host" CONFIG_omero_master_host)
    worker=$(resolve "${OMERO_WORKER_HOST:-$name}" OMERO_WORKER_NAME)
    port=${CONFIG_omero_ports_prefix:-}${CONFIG_omero_ports_registry:-4061}
    wait_for_port "$master" "$port" "the registry of OMERO.grid" "Is the OMERO server running?"

    mkdir -p "var/$name" var/log
    cat >"etc/$name.cfg" <<CFG
IceGrid.Node.Name=$name
IceGrid.Node.Endpoints=tcp -h $worker
IceGrid.Node.Data=var/$name
IceGrid.Node.Output=var/log
Ice.StdOut=var/log/$name.out
Ice.StdErr=var/log/$name.err
CFG
    # 'omero node start' writes the rest from templates, but not over an internal.cfg of an earlier start while the
    # node that it names still answers; a master with a new address would then never be found.
    rm -f etc/internal.cfg

    exec omero node "$name" start --foreground
}

case ${OMERO_WORKER_ROLE:-node} in
    node) run_node ;;
    engine) run_engine ;;
    *) die "OMERO_WORKER_ROLE is '$OMERO_WORKER_ROLE'; it must be node or engine." ;;
esac
