#!/bin/sh
# Makes folders, and sees that files can be written to them.
# $1: "make", or "look" to change nothing; others: the folders.
# Output: a line "<folder> <TAB> there|made|missing|failed <TAB> <why>" for each.
set -u
export LC_ALL=C
umask 022
mode=$1
shift
for folder; do
    state=there why=
    if [ ! -d "$folder" ]; then
        state=missing
        if [ "$mode" = make ]; then
            state=made
            why=$(mkdir -p -- "$folder" 2>&1) || state=failed
        fi
    fi
    case $state in there | made)
        probe=$folder/.omero-worker-probe.$$
        if ! printf x 2>/dev/null >"$probe"; then
            state=failed
            why=$(no_room "$folder")
            why=${why:-"$(id -un) may not write there"}
        fi
        rm -f -- "$probe"
        ;;
    esac
    printf '%s\t%s\t%s\n' "$folder" "$state" "$(printf '%s' "$why" | tr '\t\n' '  ')"
done
