#!/bin/sh
# Install the clients the fal door is tested with: PyPI's fal-client, newest and oldest, each in a venv of its own
# below FOLDER; npm's @fal-ai/client beside this script; and, where there is none, Debian's Chromium.
# usage: install_fal.sh [FOLDER] [PYTHON]     defaults: .venv-fal at the top of the checkout, python3
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../../.venv-fal}
python=${2:-python3}

for version in newest oldest; do
    wanted=$here/requirements-$version.txt
    venv=$folder/$version
    if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/installed.txt"; then
        continue
    fi
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/installed.txt"
done

if ! cmp -s "$here/package-lock.json" "$here/node_modules/installed.json"; then
    (cd "$here" && npm ci --silent --no-audit --no-fund)
    cp "$here/package-lock.json" "$here/node_modules/installed.json"
fi

if ! command -v chromium >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
