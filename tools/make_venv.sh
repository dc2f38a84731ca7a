#!/bin/sh
# Runs make_venv.py, which says what for, with the Python that is here.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
python=
for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed, and python3 is $(python3 --version 2>&1 || echo missing)." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    "$tools/apt_install.sh" python3-venv
fi
exec "$python" "$tools/make_venv.py" "$@"
