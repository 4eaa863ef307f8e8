#!/bin/sh
# Install the S3 server the tests run against (OpenStack Swift with its S3 API) in a venv of its own.
# usage: install_s3.sh [VENV] [PYTHON]     defaults: .venv-s3 at the top of the checkout, python3
set -eu
support=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$support/../../.venv-s3}
python=${2:-python3}
wanted=$support/s3-requirements.txt

if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/installed.txt"; then
    exit 0
fi
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
cp "$wanted" "$venv/installed.txt"
