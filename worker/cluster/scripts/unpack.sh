#!/bin/sh
# Unpacks a tar stream into a fresh folder beside the one that it will replace.
# $1: the folder.  Input: the tar stream.
set -u
umask 027
rm -rf --one-file-system -- "$1.part"
mkdir -p -- "$1.part" || exit 1
tar -x -f - -C "$1.part" --no-same-owner --no-same-permissions
