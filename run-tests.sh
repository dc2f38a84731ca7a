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

[ -n "${VENV:-}" ] || tools/make_venv.sh .venv test
if [ "${1:-}" = fast ]; then
    shift
    [ -n "${VENV:-}" ] || check # with the versions that are pinned
    # shellcheck disable=SC2086 # a list of words
    exec "$venv/bin/python" -m pytest -q "$@" $fast
fi

# What is fetched depends on what is run.
chosen=
[ $# = 0 ] || chosen=$("$venv/bin/python" -m pytest --collect-only -q "$@" || true)
runs() {
    [ -z "$chosen" ] || echo "$chosen" | grep -q "^$1"
}

missing=
for pair in mmdebstrap:mmdebstrap bwrap:bubblewrap newuidmap:uidmap appstreamcli:appstream systemd-analyze:systemd ip:iproute2 \
    faketime:faketime; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if runs tests/comparison/test_pages.py; then
    for pair in chromium:chromium chromedriver:chromium-driver; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
fi
if gimp-console --version 2>/dev/null | grep -q 'version 3'; then
    for pair in Xvfb:xvfb xauth:xauth xdotool:xdotool import:imagemagick \
        dbus-run-session:dbus-daemon; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    [ -d /usr/share/i18n/locales ] || missing="$missing locales"
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
# Side by side what measures no time, then by themselves the daemon and GIMP, which are given times to answer in.
failed=0
"$venv/bin/python" -m pytest -n 2 --dist loadfile --ignore tests/service --ignore tests/gimp || failed=1
"$venv/bin/python" -m pytest tests/service tests/gimp || failed=1
exit "$failed"
