#!/bin/sh
# Installs what the project needs: system tools by apt when it may, then the Python environment, the jars
# and the Kinesis emulator, each only when its own file has changed. Run by make; safe to repeat.
set -eu
cd "$(dirname "$0")"
UV_VERSION=0.13.9

fail() { echo "bootstrap: $*" >&2; exit 1; }

missing=""
python=$(command -v python3.11 || command -v python3 || true)
[ -n "$python" ] && "$python" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3 python3-venv"
command -v java >/dev/null || missing="$missing openjdk-17-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || fail "missing:$missing. Install them and run again."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        fail "apt-get could not install:$missing"
    python=$(command -v python3.11 || command -v python3)
fi
major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
[ "${major:-0}" = 11 ] || [ "${major:-0}" = 17 ] || fail "Java ${major:-?} found; Flink 1.20 needs 17 (or 11). Install openjdk-17-jre-headless."
[ "$(df -Pk . | awk 'NR==2 {print $4}')" -gt 4000000 ] || fail "less than 4 GB free on this disk; the environment and jars need about 3 GB."

# step NAME INPUT… : true when an input is newer than the last success of NAME
stamp() { mkdir -p build && touch "build/.$1"; }
stale() { name=$1; shift; [ ! -e "build/.$name" ] && return 0; for f in "$@"; do [ "$f" -nt "build/.$name" ] && return 0; done; return 1; }

if [ ! -x .venv/bin/python ] || stale python requirements.lock pyproject.toml; then
    echo "bootstrap: Python environment (about a minute)"
    [ -x .tools/bin/uv ] || { "$python" -m venv .tools && .tools/bin/python -m pip install -q --disable-pip-version-check "uv==$UV_VERSION"; }
    [ -x .venv/bin/python ] || .tools/bin/uv venv -q --python 3.11 .venv || fail "no Python 3.11 found and none could be installed; Flink 1.20 supports up to 3.11."
    .tools/bin/uv pip sync -q --compile-bytecode --python .venv/bin/python requirements.lock
    .tools/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
    stamp python
fi
if [ ! -d jars/dynamodb-local ] || stale jars pom.xml; then
    echo "bootstrap: jars (about 230 MB; some minutes the first time)"
    for profile in flink flink-s3 dynamodb-local; do
        mvn -q -B -ntp -P "$profile" dependency:copy-dependencies || fail "Maven could not fetch the jars of profile $profile; see its lines above."
    done
    stamp jars
fi
if [ ! -d emulators/node_modules ] || stale emulators emulators/package-lock.json; then
    echo "bootstrap: Kinesis emulator"
    PATH="$PWD/.venv/bin:$PATH" npm ci --prefix emulators --silent --no-audit --no-fund || fail "npm could not install the Kinesis emulator."
    stamp emulators
fi
