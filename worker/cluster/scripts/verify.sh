#!/bin/sh
# Compares files with their checksums.  $1: the folder.  Input: a list for sha256sum -c.
# Output: "<file>: OK" or "<file>: FAILED" for each, so that it is never silent for long.
set -u
cd -- "$1" || exit 1
LC_ALL=C sha256sum --check --strict -
