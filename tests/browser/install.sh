#!/bin/sh
# Installs the headless browser of tests/browser where there is none and this user may.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" > /dev/null; then
        echo "browser: $(command -v "$name")"
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends chromium
    echo "browser: $(command -v chromium)"
else
    echo "browser: none, and not allowed to install one; tests/browser is skipped"
fi
