#!/usr/bin/env bash
# Makes .venv-interop, other programs that read corpora, with the versions of constraints-interop.txt:
# scripts/install-interop.sh [PYTHON], by `make test-interop`. Python 3.11 or later.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-python3}

[[ -x .venv-interop/bin/pip ]] || "$python" -m venv --clear .venv-interop
install=(.venv-interop/bin/python -m pip --disable-pip-version-check install --constraint constraints-interop.txt)

# They read files, so the CPU build of torch does on any machine; the plain one brings gigabytes of CUDA.
torch=$(grep '^torch==' constraints-interop.txt)
"${install[@]}" "$torch+cpu" || {
  echo "install-interop: the package index offers no $torch+cpu, so here is the plain build" >&2
  "${install[@]}" "$torch"
}
"${install[@]}" megatron-core ai2-olmo-core datatrove datasets litdata tokenizers humanize
