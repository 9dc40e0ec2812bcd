#!/usr/bin/env bash
# Makes a virtual environment and installs tiervdb with its development tools into it. `make` runs it before anything
# else, and again when pyproject.toml has changed. What is missing on this machine is said in one line each.
#
#   scripts/set_up.sh [.venv]      PYTHON=/path/to/python3.12 chooses the interpreter
#   scripts/set_up.sh --look       only looks whether all that is needed is here
set -euo pipefail
cd "$(dirname "$0")/.."

missing() {
    printf 'set-up: %s\n' "$1" >&2
    exit 1
}

find_python() {
    local candidate found=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        "$candidate" -c 'pass' 2>/dev/null || continue
        found="$("$candidate" -c 'import platform; print(platform.python_version())') ($candidate)"
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python=$candidate
            return
        fi
    done
    missing "Python 3.11 or newer is needed, found ${found:-none}. Install it (Debian, Ubuntu: apt install python3 python3-venv python3-dev; macOS: brew install python@3.13) or name one: make PYTHON=/path/to/python3.11"
}

compiles() {  # CODE [FLAG...]
    printf '%s\n' "$1" | "${CXX:-c++}" -x c++ -fsyntax-only "${@:2}" - 2>/dev/null
}

look() {
    find_python
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing "$python lacks the venv module. Install it (Debian, Ubuntu: apt install python3-venv)"
    compiles '#include <vector>' ||
        missing "a C++ compiler is needed, hnswlib is built from source (looked for ${CXX:-c++}). Install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
    compiles '#include <Python.h>' -I "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" ||
        missing "the C headers of $python are needed, hnswlib is built from source. Install them (Debian, Ubuntu: apt install python3-dev; Fedora: dnf install python3-devel)"
}

install() {
    echo "Setting up $venv with $("$python" --version): downloads about 400 MB the first time, one to three minutes."
    "$venv/bin/python" -c 'pass' 2>/dev/null || "$python" -m venv --clear "$venv"
    # An older pip takes three times as long to find versions that fit; going on with it is slow, not wrong.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25' || true
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]' ||
        missing "pip could not install what pyproject.toml asks for: see above, then run make again"
}

look
[ "${1:-}" != "--look" ] || exit 0

venv=${1:-.venv}
stamp=$venv/.ready
wanted=$(cksum < pyproject.toml)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! "$venv/bin/python" -c 'pass' 2>/dev/null; then
    install
fi
printf '%s\n' "$wanted" > "$stamp"
