#!/bin/sh
# Sends a file from some place on.  $1, $2: its folder, see enter.sh; $3: its name; $4: number of the first byte, from 1.
set -u
enter "$1" "$2"
if [ -L "./$3" ] || [ ! -f "./$3" ]; then
    echo "$3: No such file or directory" >&2
    exit 1
fi
tail -c "+$4" -- "./$3"
