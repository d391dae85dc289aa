#!/bin/sh
# Packs files.  $1: the folder.  Input: paths below it, each with a NUL.  Output: a tar stream.
set -u
cd -- "$1" || exit 1
tar -c -f - --format=posix --no-recursion --null -T -
