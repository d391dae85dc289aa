#!/bin/sh
# Pulls one image that was claimed, or builds it if "what" is the name of a definition (*.def) beside it; verifies it and renames it into place.
# $1: temporary folder, or empty; $2: cache, or empty; $3: modules to load, with blanks between; $4: what; $5: where to.
# All paths are absolute.
set -u
tmp=$1 cache=$2 modules=$3 source=$4 target=$5
claim=$(claim_of "$target")
# From here on by relative paths: a claim that was taken over meanwhile is not ours any more.
cd -- "$claim" || exit 74

fail() { # $1: exit status; $2: why, if nobody has said it
    trap - EXIT
    rm -f -- part
    [ -z "$2" ] || printf '%s\n' "$2" >>log
    # On a full disk it may stay empty.
    printf '%s\n' "$1" >status.part
    mv -f -- status.part status
    exit 1 # not 255, at which xargs would let the others be
}

trap 'fail $? "the pull has ended early"' EXIT
trap 'fail 143 "the pull was ended by a signal"' TERM INT HUP
(
    while kill -0 "$$" && [ -e beat ]; do
        touch -c -- beat
        sleep 10
    done
) >/dev/null 2>&1 &
rm -f -- queued

set +u # the set-up of a login is not ours
if [ -n "$modules" ] || ! runtime >/dev/null; then
    module_is_there
    known=$?
    if [ -n "$modules" ]; then
        # shellcheck disable=SC2086
        module load $modules >>log 2>&1 || fail 69 "the modules $modules cannot be loaded on $(uname -n)"
    elif [ "$known" -eq 0 ]; then
        module load singularity >>log 2>&1 || module load apptainer >>log 2>&1
    fi
fi
set -u
program=$(runtime) || fail 69 "neither apptainer nor singularity is on $(uname -n), nor do modules give one"

set -- --force
if [ -n "$tmp" ]; then
    mkdir -p -- "$tmp" 2>>log || fail 73 "the temporary folder $tmp cannot be made"
    export APPTAINER_TMPDIR="$tmp" SINGULARITY_TMPDIR="$tmp"
fi
if [ -n "$cache" ]; then
    mkdir -p -- "$cache" 2>>log || fail 73 "the cache $cache cannot be made"
    export APPTAINER_CACHEDIR="$cache" SINGULARITY_CACHEDIR="$cache"
else
    set -- "$@" --disable-cache
fi
case $source in
    *.def)
        # It lies beside the image, with what it copies.
        place=$PWD
        # Apptainer finds out by itself that it has to pretend to be root.
        [ "$(id -u)" -eq 0 ] || [ "${program##*/}" = apptainer ] || set -- "$@" --fakeroot
        (cd -- "${target%/*}" && "$program" build "$@" "$place/part" "$source") >>log 2>&1 </dev/null
        ;;
    *) "$program" pull "$@" part "$source" >>log 2>&1 </dev/null ;;
esac
code=$?
[ "$code" -eq 0 ] || fail "$code" "$(no_room .)"
[ -s part ] || fail 65 "${program##*/} says that it has pulled the image, but there is none"
problem=$(image_problem part)
[ -z "$problem" ] || fail 65 "what ${program##*/} has pulled is no image: $problem"
# What is in place must survive a power cut; not every sync takes a file.
sync -- part 2>/dev/null
# So that jobs can tell what they run without reading all of it again; without, they do that.
digest=$(sha256sum <part) && printf '%s  %s\n# %s %s\n' \
    "${digest%% *}" "${target##*/}" "$(stat -c '%s %Y' -- part)" "$source" >digest
mv -f -T -- part "$target" 2>>log || fail 73 "the image cannot be put in place"
[ ! -s digest ] || mv -f -T -- digest "$target.sha256" 2>>log
trap - EXIT
# Away in one step, so that nobody sees half a claim; unless it was taken over.
if [ "$(stat -c %i -- . 2>/dev/null)" = "$(stat -c %i -- "$claim" 2>/dev/null)" ]; then
    mv -T -- "$claim" "$claim.$$.done" && rm -rf --one-file-system -- "$claim.$$.done"
fi
