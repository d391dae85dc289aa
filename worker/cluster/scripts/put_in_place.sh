#!/bin/sh
# Replaces a folder by the one unpacked beside it.
# $1: the folder; $2: how many files must be in it; $3, $4: file of the fence and our number, or nothing.
set -u
if [ -n "${3-}" ] && [ -d "${3%/*}" ]; then
    # Keeps others out to the end: a job may read what somebody else has put here.
    raise_fence "$3" "$4"
fi
if [ ! -e "$1.part" ] && [ -d "$1" ]; then
    count=$(find "$1" -type f -printf . | wc -c)
    [ "$count" -eq "$2" ] && exit 0 # done before, by a command whose reply was lost
fi
count=$(find "$1.part" -type f -printf . | wc -c)
if [ "$count" -ne "$2" ]; then
    echo "there are $count files instead of $2" >&2
    exit 65
fi
rm -rf --one-file-system -- "$1.old"
if [ -e "$1" ]; then
    mv -T -- "$1" "$1.old" || exit 1
fi
mv -T -- "$1.part" "$1" || exit 1
rm -rf --one-file-system -- "$1.old"
