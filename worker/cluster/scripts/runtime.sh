#!/bin/sh
# Finding the container runtime, which on many clusters is a module.

runtime() {
    command -v apptainer || command -v singularity
}

module_is_there() { # makes the command "module" known, if the machine has it. The set-up of a login is not ours: not under set -u.
    if ! command -v module >/dev/null && [ -r /etc/profile ]; then
        # shellcheck disable=SC1091
        . /etc/profile >/dev/null 2>&1
    fi
    command -v module >/dev/null
}
