#!/bin/sh
# Lists image files.  $1: folder of all images.  Input: one folder below it in each line.
# Output: folder <TAB> file.
set -u
cd -- "$1" || exit 1
while IFS= read -r folder; do
    [ -d "./$folder" ] || continue
    for file in "./$folder"/*.sif "./$folder"/*.simg; do
        [ -e "$file" ] && printf '%s\t%s\n' "$folder" "${file##*/}"
    done
done
exit 0
