#!/bin/sh
# Enters a folder, unless a link in its path leads elsewhere: whoever made that link may mean anybody's files.
# $1: a folder of ours; $2: the path of a folder below it, "." for the folder itself.
enter() {
    top=$(cd -P -- "$1" && pwd -P) || exit 66
    cd -P -- "$1/$2" || exit 66
    case $2 in
        .) ;;
        *) top=$top/$2 ;;
    esac
    # The dot keeps new lines at the end of a name.
    if [ "$(pwd -P && echo .)" != "$top
." ]; then
        echo "$2 leads to $(pwd -P)" >&2
        exit 65
    fi
}
