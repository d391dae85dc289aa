#!/bin/sh
# Reads the log of a job, or of all tasks of an array, the end of each under its name.
# $1: the folder; $2: number of the job; $3: at most so many bytes of each.
set -u
cd -- "$1" || exit 66
find . -maxdepth 1 -type f \( -name "omero-$2.log" -o -name "omero-$2_*.log" \) -printf '%f\n' | sort -t_ -k2,2n | tr '\n' '\0' |
    xargs -0 -r tail -v -c "$3" --
