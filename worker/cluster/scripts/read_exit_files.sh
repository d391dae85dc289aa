#!/bin/sh
# Reads what a job has left in its exit file, or its tasks in theirs.  $1: the folder; $2: number of the job; $3: at most so many bytes.
cd -- "$1" 2>/dev/null || exit 0
{
    [ ! -e "$2.json" ] || cat -- "$2.json"
    for file in "$2"_*.json; do
        [ ! -e "$file" ] || cat -- "$file"
    done
} | head -c "$3"
exit 0
