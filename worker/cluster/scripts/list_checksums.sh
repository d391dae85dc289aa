#!/bin/sh
# Computes checksums.  $1, $2: the folder, see enter.sh; $3: "large" if files are large.  Input: paths below it, each with
# a NUL.  Output: "<sha256>  ./<path>" NUL ...
set -u
enter "$1" "$2"
if [ "$3" != large ]; then
    sed -z 's:^:./:' | LC_ALL=C xargs -0 -r sha256sum -z --
    exit
fi
# OpenSSL uses what a processor has for this, which not every sha256sum does; but it takes a process for each file.
# shellcheck disable=SC2016 # the inner shell expands it
sed -z 's:^:./:' | LC_ALL=C xargs -0 -r sh -c '
    for file; do
        if sum=$(openssl dgst -sha256 -r 2>/dev/null <"$file"); then
            printf "%s  %s\0" "${sum%% *}" "$file"
        else
            sha256sum -z -- "$file" || exit
        fi
    done' sh
