#!/bin/sh
# Install the clients the fal door is tested with: PyPI's fal-client, newest and oldest, each in a venv of its own
# below FOLDER; npm's @fal-ai/client beside this script; and, where they are missing, Debian's Node.js and Chromium.
# usage: install_fal.sh [FOLDER] [PYTHON]     defaults: .venv-fal at the top of the checkout, python3
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../../.venv-fal}
python=${2:-python3}

# need COMMAND PACKAGE…: install the packages when there is no such command.
need() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || {
        echo "Install $1 first: the tests of fal's door use it." >&2
        exit 1
    }
    shift
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need npm nodejs npm
need chromium chromium

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
    (cd "$here" && npm ci --loglevel=error --no-audit --no-fund)
    cp "$here/package-lock.json" "$here/node_modules/installed.json"
fi
