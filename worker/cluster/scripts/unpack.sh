#!/bin/sh
# Unpacks a tar stream into a fresh folder beside the one that it will replace.
# $1: the folder; $2, $3: file of the fence and our number, or nothing.  Input: the tar stream.
set -u
umask 027
if [ -n "${2-}" ]; then
    mkdir -p -- "${2%/*}" || exit 74
    raise_fence "$2" "$3"
    exec 9>&-
fi
rm -rf --one-file-system -- "$1.part"
mkdir -p -- "$1.part" || exit 1
tar -x -f - -C "$1.part" --no-same-owner --no-same-permissions
