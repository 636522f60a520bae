#!/bin/sh
# Runs `make demo` and `make test` in both orders as on a machine without X libraries: in an
# environment of its own, with a loader path on which libxcb and libGL cannot be loaded.
#
#   sh test/bare_machine.sh VENV
set -eu
venv=$1
libraries=$(mktemp -d)
trap 'rm -rf "$libraries"' EXIT
: > "$libraries/libxcb.so.1"  # the loader takes the first one it finds, and an empty one is an error
: > "$libraries/libGL.so.1"
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export CI=true

make VENV="$venv" demo
# Running them is the business of `make test`; here it is enough that every one of them imports.
PYTEST_ADDOPTS='--collect-only --quiet' make VENV="$venv" test > "$libraries/tests" || {
    tail -n 40 "$libraries/tests"
    exit 1
}
grep ' tests collected' "$libraries/tests"
touch README.md  # what the demonstration installs is installed anew, after what the tests need
make VENV="$venv" demo
"$venv/bin/python" -c 'import cv2; print("OpenCV", cv2.__version__, "loads without X libraries")'
