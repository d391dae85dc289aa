#!/bin/sh
# Computes checksums.  $1, $2: the folder, see enter.sh.  Input: paths below it, each with a NUL.
# Output: "<sha256>  ./<path>" NUL ...
set -u
enter "$1" "$2"
sed -z 's:^:./:' | LC_ALL=C xargs -0 -r sha256sum -z --
