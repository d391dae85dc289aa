#!/bin/sh
# Packs files.  $1, $2: the folder, see enter.sh.  Input: paths below it, each with a NUL.  Output: a tar stream.
set -u
enter "$1" "$2"
# Without times, a file that has a short name needs no second header. Two names of one file are two files.
tar -c -f - --format=posix --pax-option=delete=atime,delete=ctime,delete=mtime --hard-dereference --no-recursion \
    --null -T -
