#!/bin/sh
# Sets up what the tests need and runs them all: ./run-tests.sh [pytest's arguments]
# GIMP_VERSIONS=3.0,3.2 runs the tests with GIMP in both.
set -eu
cd "$(dirname "$0")"

missing=
for pair in mmdebstrap:mmdebstrap bwrap:bubblewrap newuidmap:uidmap appstreamcli:appstream systemd-analyze:systemd ip:iproute2 \
    chromium:chromium chromedriver:chromium-driver faketime:faketime; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if gimp-console --version 2>/dev/null | grep -q 'version 3'; then
    for pair in Xvfb:xvfb xauth:xauth xdotool:xdotool import:imagemagick; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    [ -d /usr/share/i18n/locales ] || missing="$missing locales"
fi
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || tools/apt_install.sh $missing

tools/make_venv.sh .venv test
.venv/bin/blend-daemon weights --quiet
# shellcheck disable=SC2046 # a list of words
.venv/bin/python tests/gimp/root.py --missing $(echo "${GIMP_VERSIONS:-3.0}" | tr , ' ')

.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/mypy
.venv/bin/shellcheck install.sh run-tests.sh tools/*.sh benchmarks/*.sh .ci/run
exec .venv/bin/pytest "$@"
