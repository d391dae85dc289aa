#!/bin/sh
# Lists what is to be converted.  $1: the folder; then a test of find.  Output: paths below the folder, each with a NUL.
set -u
cd -- "$1" || exit 66
shift
# What is in an OME-Zarr belongs to it.
find . "$@" -prune -printf '%P\0' -o -type d -iname '*.zarr' -prune
