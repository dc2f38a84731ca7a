#!/bin/sh
# Sets up what the tests need and runs them.
#   ./run-tests.sh                    all
#   ./run-tests.sh fast               those that need no GIMP, browser or network, in under a minute
#   ./run-tests.sh [pytest's words]   those that the words choose
# GIMP_VERSIONS=3.0,3.2 runs the tests with GIMP in both. VENV=DIR takes an environment that is there, as it is.
set -eu
cd "$(dirname "$0")"
venv=${VENV:-.venv}

# Those that compute little: nothing here trains, starts a daemon or fetches anything.
fast="tests/test_walls.py tests/cli/test_images.py tests/cli/test_files_whole.py tests/cli/test_colour.py tests/cli/test_masks.py
    tests/cli/test_metadata.py tests/cli/test_outputs.py tests/comparison/test_scores.py tests/engine/test_problem.py
    tests/engine/test_lbfgs.py tests/engine/test_harmonise.py tests/plugin tests/protocol/test_framing.py tests/protocol/test_runtime.py"

check() {
    "$venv/bin/ruff" check
    "$venv/bin/ruff" format --check
    "$venv/bin/mypy"
    "$venv/bin/shellcheck" install.sh run-tests.sh tools/*.sh benchmarks/*.sh .ci/run
}

if [ -z "${VENV:-}" ]; then
    [ -d .venv ] || echo "The first run fetches 2 to 6 GB into .venv, and for GIMP's tests a Debian root of 1 GB for each version of GIMP."
    tools/make_venv.sh .venv test
fi
if [ "${1:-}" = fast ]; then
    shift
    [ -n "${VENV:-}" ] || check # with the versions that are pinned
    # shellcheck disable=SC2086 # a list of words
    exec "$venv/bin/python" -m pytest -q -n 2 "$@" $fast
fi

# What is fetched depends on what is run.
chosen=
[ $# = 0 ] || chosen=$("$venv/bin/python" -m pytest --collect-only -q "$@" || true)
runs() {
    [ -z "$chosen" ] || echo "$chosen" | grep -q "^$1"
}

missing=
# need TESTS COMMAND:PACKAGE ...
need() {
    runs "$1" || return 0
    shift
    for pair; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
}
need tests/plugin/test_metainfo.py appstreamcli:appstream
need tests/service/ systemd-analyze:systemd ip:iproute2 faketime:faketime
need tests/comparison/test_pages.py chromium:chromium chromedriver:chromium-driver
need tests/gimp/ bwrap:bubblewrap mmdebstrap:mmdebstrap newuidmap:uidmap
if gimp-console --version 2>/dev/null | grep -q 'version 3'; then
    need tests/gimp/ Xvfb:xvfb xauth:xauth xdotool:xdotool import:imagemagick dbus-run-session:dbus-daemon
    if runs tests/gimp/ && [ ! -d /usr/share/i18n/locales ]; then missing="$missing locales"; fi
fi
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || tools/apt_install.sh $missing

"$venv/bin/blend-daemon" weights --quiet
if runs tests/gimp/; then
    # shellcheck disable=SC2046 # a list of words
    "$venv/bin/python" tests/gimp/root.py --missing $(echo "${GIMP_VERSIONS:-3.0}" | tr , ' ')
fi

[ -n "${VENV:-}" ] || check # with the versions that are pinned
[ $# = 0 ] || exec "$venv/bin/python" -m pytest "$@"
# Three at a time also where there are two cores: many tests wait, for a daemon, for GIMP or for a network that is cut.
exec "$venv/bin/python" -m pytest -n 3
