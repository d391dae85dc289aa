#!/bin/bash
# Regenerate the two lock files from pyproject.toml: requirements.lock, which the Dockerfile installs, and
# requirements-dev.lock, the same versions with what the tests need on top.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if command -v uv >/dev/null; then
    uv=uv
else
    .venv/bin/python -m venv "$work/venv"
    "$work/venv/bin/pip" install --disable-pip-version-check -qq uv
    uv=$work/venv/bin/uv
fi
compile=("$uv" pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate
    --generate-hashes pyproject.toml)
"${compile[@]}" -o requirements.lock
"${compile[@]}" --extra dev -c requirements.lock -o requirements-dev.lock
