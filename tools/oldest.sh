#!/bin/sh
# Runs the quick tests with the oldest versions that pyproject.toml allows: tools/oldest.sh DIR
# DIR is where the environment is made, several gigabytes of it.
set -eu
cd "$(dirname "$0")/.."
venv=$1
python3 -m venv "$venv"
"$venv/bin/python" - >"$venv/oldest.txt" <<'END'
import re, tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
for wanted in project["dependencies"]:
    name, oldest = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)(?:;.*)?", wanted).groups()
    print(f"{name}=={oldest}")
END
"$venv/bin/python" -m pip install --quiet --constraint "$venv/oldest.txt" --editable '.[test]'
PATH="$venv/bin:$PATH" VENV=$venv exec ./run-tests.sh fast
