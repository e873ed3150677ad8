#!/bin/sh
# Make sure that the browser tests have a browser: one that is there, else Playwright's, else the distribution's.
# Usage: browser-setup.sh PYTHON. Fails only under CI=true; elsewhere the browser tests then skip and say so.
set -u
python=$1

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then
        echo "browser tests use $(command -v "$name")"
        exit 0
    fi
done
if "$python" -m playwright install chromium >/dev/null 2>&1; then
    echo "browser tests use Playwright's Chromium"
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    if apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; then
        echo "browser tests use the distribution's Chromium, just installed"
        exit 0
    fi
fi
echo "NO BROWSER: the browser tests cannot run. Install Chromium or Chrome." >&2
[ "${CI:-}" = true ] && exit 1
exit 0
