#!/bin/bash
# Regenerate the two lock files from pyproject.toml: requirements.lock, which the Dockerfile installs, and
# requirements-dev.lock, the same versions with what the tests need on top; and that of the importer in the lab.
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
    --generate-hashes)
"${compile[@]}" pyproject.toml -o requirements.lock
"${compile[@]}" pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
"${compile[@]}" tests/lab/importer/requirements.in -c requirements-dev.lock --no-emit-package psycopg2 \
    -o tests/lab/importer/requirements.txt
