#!/bin/sh
# Clones a git repository of job scripts, or brings the clone up to date; a folder of somebody else's is left alone.
# $1: "make", or "look" to change nothing; $2: the repository; $3: the folder.
# Output: "<state> <TAB> <what>": cloned, pulled, current, missing, foreign, failed; what git said goes to standard error.
set -u
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}"
mode=$1 repository=$2 folder=$3

tell() {
    printf '%s\t%s\n' "$1" "${2-}"
    exit "${3:-0}"
}

commit() {
    git -C "$folder" rev-parse --short HEAD 2>/dev/null
}

command -v git >/dev/null || tell failed "there is no git on $(uname -n)" 69
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
if [ "$mode" = make ]; then
    mkdir -p -- "${folder%/*}" || tell failed "" 73
    # One at a time, where the file system knows locks.
    if touch -- "$folder.lock" 2>/dev/null; then
        exec 9>"$folder.lock"
        flock -w 300 9 2>/dev/null
    fi
fi
if [ ! -e "$folder" ] || [ -z "$(find "$folder" -mindepth 1 -print -quit)" ]; then
    [ "$mode" = make ] || tell missing
    timeout 300 git clone --quiet -- "$repository" "$folder" >&2 9>&- || tell failed "" 1
    tell cloned "$(commit)"
fi
# Not of a repository in which the folder happens to lie.
origin=$(git --git-dir="$folder/.git" config --get remote.origin.url 2>/dev/null)
[ "$origin" = "$repository" ] || tell foreign "$origin"
[ "$mode" = make ] || tell current "$(commit)"
before=$(commit)
timeout 300 git -C "$folder" pull --quiet --ff-only >&2 9>&- || tell failed "$before" 1
after=$(commit)
[ "$before" = "$after" ] && tell current "$after"
tell pulled "$before..$after"
