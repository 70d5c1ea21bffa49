#!/bin/sh
# The loader tests of every family on the oldest transformers that pyproject.toml allows.
# Its environment is thrown away; what transformers does not pin is taken from the checkout's .venv.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
oldest=$(sed -n 's/.*"transformers>=\([0-9.]*\)".*/\1/p' "$root/pyproject.toml")
test -n "$oldest"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
newest=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$root/.venv/bin/python" -m venv "$work/env"
python=$work/env/bin/python
"$python" -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$work/site.txt"
# Behind the environment's own folder, so that what is installed here goes first.
echo "$newest" > "$(cat "$work/site.txt")/newest.pth"
"$python" -m pip install -q "transformers==$oldest"
"$python" -m pip install -q --no-deps -e "$root"
"$python" -c "import transformers; print('transformers', transformers.__version__)"
cd "$root"
"$python" -m pytest -q -p no:cacheprovider tests/adapters -k family -m "not slow and not network and not gpu"
echo "oldest: ok"
