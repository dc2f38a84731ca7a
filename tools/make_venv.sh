#!/bin/sh
# Makes or refreshes a virtual environment with this project in it; does nothing when nothing has changed.
#   tools/make_venv.sh DIR            the program alone
#   tools/make_venv.sh DIR test       the program editable, with what its tests need
# shellcheck disable=SC2086 # $pins is a list of words
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
venv=$1
extra=${2:-}

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

# What is installed depends on these; the sum of them is left in the environment when all of it has succeeded.
stamp=$(cat "$project/requirements.lock" "$project/pyproject.toml" "$0" | cksum)
[ -n "$extra" ] || stamp="$stamp $(cd "$project" && find blend_daemon blend_protocol -type f ! -path '*/__pycache__/*' -exec cksum {} + | LC_ALL=C sort | cksum)"
stamp="$stamp $project"
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    "$project/tools/apt_install.sh" python3-venv
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}
pip install --quiet --upgrade pip

# Without an NVIDIA card PyTorch's CUDA build is gigabytes for nothing, but it serves too where the index of CPU builds cannot be reached.
if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    pins=$(grep -E "^torch${extra:+(vision)?}==" "$project/requirements.lock" | tr '\n' ' ') # the tests compare with torchvision's network
    if [ "$(uname -s)" != Linux ]; then
        echo "Installing PyTorch; this takes some minutes."
        pip install --quiet $pins
    elif [ -e /dev/nvidiactl ]; then
        echo "Installing PyTorch for the NVIDIA card that is here, about 5.7 GB; this takes some minutes."
        pip install --quiet $pins
    else
        echo "Installing PyTorch for the processor, less than 1 GB; this takes some minutes."
        if ! pip install --quiet --retries 0 --timeout 10 --index-url https://download.pytorch.org/whl/cpu $pins 2>/dev/null; then
            echo "Its builds for processors at download.pytorch.org cannot be reached. PyPI's build follows, which serves as well, but has about"
            echo "5.7 GB with its libraries for NVIDIA cards. Ctrl+C now if that is too much, and run this again when the address can be reached."
            pip install --quiet $pins
        fi
    fi
fi
if [ -n "$extra" ]; then
    pip install --quiet --constraint "$project/requirements.lock" --editable "${project}[$extra]"
else
    # Built from a copy, so that the build leaves nothing in the source tree, which may not even be writable.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R "$project/blend_daemon" "$project/blend_protocol" "$project/pyproject.toml" "$project/README.md" "$project/LICENSE" "$copy"
    pip install --quiet --constraint "$project/requirements.lock" "${copy}[install]"
    pip install --quiet --force-reinstall --no-deps "$copy"
fi
echo "$stamp" >"$venv/stamp"
