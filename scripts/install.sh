#!/usr/bin/env bash
# Makes .venv with the versions of constraints.txt: scripts/install.sh [PYTHON], by `make install`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "install: $python is $("$python" --version 2>&1), 3.10 or later is needed: make install PYTHON=python3.12" >&2
  exit 1
}
[[ -x .venv/bin/pip ]] || "$python" -m venv --clear .venv
install=(.venv/bin/python -m pip --disable-pip-version-check install --constraint constraints.txt)

# With a GPU a CPU build on the index is passed over; without one it is preferred: the plain one brings gigabytes of CUDA.
torch=$(grep '^torch==' constraints.txt)
if nvidia-smi >/dev/null 2>&1; then
  "${install[@]}" "$torch,!=${torch#torch==}+cpu"
else
  "${install[@]}" "$torch+cpu" || {
    echo "install: the package index offers no $torch+cpu, so here is the plain build" >&2
    "${install[@]}" "$torch"
  }
fi
"${install[@]}" --editable ".[dev]"
