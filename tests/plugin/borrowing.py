"""A Python whose environments find the packages of the one that runs the tests: PyTorch is there, and nothing large is fetched."""

from __future__ import annotations

import sys
import sysconfig

PYTHON = f"""#!/bin/sh
{sys.executable} "$@" || exit
[ "$1 $2" = "-m venv" ] || exit 0
cd "$3"/lib/python*/site-packages
echo '{sysconfig.get_path("purelib")}' >here.pth
rm -rf setuptools* pkg_resources  # older than what PyTorch wants, and than that here
"""
