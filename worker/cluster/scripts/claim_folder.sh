#!/bin/sh
# Makes the folder of a run that a person has named, unless it is somebody else's.
# $1: the folder; $2: the run.
set -u
umask 027
mkdir -p -- "${1%/*}" || exit 74
if mkdir -- "$1" 2>/dev/null; then
    mkdir -- "$1/status" && printf '%s\n' "$2" >"$1/status/owner" && exit 0
    exit 74
fi
# What was killed between the lines above has left an empty folder.
if [ ! -e "$1/status/owner" ] && [ -z "$(find "$1" -type f -print -quit)" ]; then
    mkdir -p -- "$1/status" && printf '%s\n' "$2" >"$1/status/owner" && exit 0
    exit 74
fi
[ "$(cat -- "$1/status/owner" 2>/dev/null)" = "$2" ] && exit 0
echo "taken"
exit 73
