#!/bin/sh
# Lists files with their sizes.  $1: the folder.  Output: "<bytes> <TAB> <path>" NUL ...
set -u
cd -- "$1" || exit 1
find . -type f -printf '%s\t%P\0'
