#!/bin/sh
# Stands in for apptainer on the lab's nodes: called as "apptainer run [...] IMAGE --infolder IN [...] --outfolder OUT [...]",
# or as a converter: "apptainer run [...] IMAGE FOLDER", which leaves a file of another format beside the folder.
# The analysis is a copy of each input file, so that a job takes no time of its own.
set -eu
in='' out=''
while [ $# -gt 1 ]; do
    case $1 in
        --infolder) in=$2 ;;
        --outfolder) out=$2 ;;
    esac
    shift
done
if [ -z "$out" ] && [ -d "$1" ]; then
    (cd -- "$1" && find . -type f -exec sha256sum -- {} + | sort) >"${1%.zarr}.tif.part"
    mv -f -- "${1%.zarr}.tif.part" "${1%.zarr}.tif"
    exit
fi
mkdir -p -- "$out"
cp -- "$in"/* "$out"/
echo '100%'
