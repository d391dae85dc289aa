#!/bin/sh
# Computes checksums.  $1: the folder.  Input: paths below it, each with a NUL.  Output: "<sha256>  ./<path>" NUL ...
set -u
cd -- "$1" || exit 1
sed -z 's:^:./:' | LC_ALL=C xargs -0 -r sha256sum -z --
