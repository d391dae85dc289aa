#!/bin/sh
# Tells of images whether they are there, and how far their pulls are.  Input: paths of images, one in each line.
# Output: for each a line "== <n> <image> <bytes> <claim> <status> <seconds>", then lines "|<words>": what is wrong with the
# image, and what the pull said last. <image>: absent, whole, spoilt; <claim>: none, queued, pulling, failed, lost.
set -u
export LC_ALL=C

claim_state() { # $1: the claim; sets "claimed" and "status"
    claimed=none status=0
    [ -d "$1" ] || return
    if [ -e "$1/status" ]; then
        claimed=failed status=$(cat -- "$1/status")
        case $status in '' | *[!0-9]*) status=74 ;; esac
    elif ! is_alive "$1"; then
        claimed=lost
    elif [ -e "$1/queued" ]; then
        claimed=queued
    else
        claimed=pulling
    fi
    # It may have ended well in the middle of this.
    [ -d "$1" ] || claimed=none
}

n=0
while IFS= read -r image; do
    claim=$(claim_of "$image")
    # The claim first: when there is none any more, the image is in place.
    claim_state "$claim"
    state=absent bytes=0 problem=
    if [ -e "$image" ]; then
        problem=$(image_problem "$image")
        bytes=$(stat -L -c %s -- "$image")
        state=whole
        [ -z "$problem" ] || state=spoilt
    fi
    since=$(stat -c %Y -- "$claim/source" 2>/dev/null) || since=$(date +%s)
    printf '== %d %s %d %s %d %d\n' "$n" "$state" "$bytes" "$claimed" "$status" $(($(date +%s) - since))
    {
        [ -z "$problem" ] || printf '%s\n' "$problem"
        if [ "$claimed" != none ]; then
            [ "$claimed" != failed ] || no_room "$claim"
            [ "$claimed" != lost ] || [ ! -s "$claim/job" ] ||
                timeout 30 sacct -n -X -P -j "$(cat -- "$claim/job")" -o State 2>/dev/null | sed 's/^/Slurm job: /'
            tail -c 2000 -- "$claim/log" 2>/dev/null | tr '\r' '\n' | tail -n 12
        fi
    } | sed 's/^/|/'
    n=$((n + 1))
done
