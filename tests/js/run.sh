#!/bin/sh
# Lint the components' scripts and run their unit tests. Usage: run.sh PYTHON. Without Node.js 20 or newer it says so,
# and fails under CI=true only.
set -eu
python=$1

if ! command -v npm >/dev/null 2>&1 || ! node -e 'process.exit(Number(process.versions.node.split(".")[0] < 20))'; then
    echo "NO NODE: the scripts are neither linted nor tested. Install Node.js 20 or newer." >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --no-progress --loglevel=error
    touch node_modules/.package-lock.json
fi
"$python" -m dashboard.components.assets build/js
npx --no-install eslint build/js
node --test tests/js/
