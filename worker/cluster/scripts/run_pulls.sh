#!/bin/sh
# Pulls images that were claimed, some at a time. It outlives the login that has started it.
# $1: how many at a time; $2: temporary folder; $3: cache; $4: modules; $5: text of pull_image.sh; what, where to, ...
set -u
parallel=$1 tmp=$2 cache=$3 modules=$4 pull=$5
shift 5
(
    # Those that wait for their turn must not be taken for forgotten.
    while kill -0 "$$"; do
        for path; do
            waiting=$(claim_of "$path")
            [ ! -e "$waiting/queued" ] || touch -c -- "$waiting/beat"
        done
        sleep 10
    done
) >/dev/null 2>&1 &
printf '%s\0' "$@" | xargs -0 -n 2 -P "$parallel" sh -c "$pull" omero-worker-pull_image "$tmp" "$cache" "$modules"
