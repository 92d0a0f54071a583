#!/bin/sh
# Installs what the project needs: system tools by apt when it may, then the Python environment, the jars
# and the Kinesis emulator, each only when its own file has changed. Run by make; safe to repeat.
set -eu
cd "$(dirname "$0")"
UV_VERSION=0.13.9

fail() { echo "bootstrap: $*" >&2; exit 1; }

# attempt WHAT-FAILED COMMAND… : runs the command quietly; when it fails, says so in one line, then what it said last
attempt() {
    failed=$1; shift; mkdir -p build
    "$@" >build/bootstrap.log 2>&1 && return
    echo "bootstrap: $failed. The last lines of build/bootstrap.log:" >&2
    tail -n 15 build/bootstrap.log >&2
    exit 1
}

missing=""
python=$(command -v python3.11 || command -v python3 || true)
[ -n "$python" ] && "$python" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3 python3-venv"
command -v java >/dev/null || missing="$missing openjdk-17-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || fail "missing:$missing. Install them and run again."
    attempt "apt-get could not update its lists" apt-get update -qq
    attempt "apt-get could not install:$missing" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
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
    if [ ! -x .tools/bin/uv ]; then
        attempt "$python could not make the environment .tools" "$python" -m venv .tools
        attempt "pip could not install uv" .tools/bin/python -m pip install -q --disable-pip-version-check "uv==$UV_VERSION"
    fi
    [ -x .venv/bin/python ] || attempt "no Python 3.11 found and none could be installed; Flink 1.20 supports up to 3.11" \
        .tools/bin/uv venv -q --python 3.11 .venv
    attempt "uv could not install requirements.lock" \
        .tools/bin/uv pip sync -q --compile-bytecode --python .venv/bin/python requirements.lock
    attempt "uv could not install the project" \
        .tools/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
    stamp python
fi
if [ ! -d jars/dynamodb-local ] || stale jars pom.xml; then
    echo "bootstrap: jars (about 230 MB; some minutes the first time)"
    for profile in flink flink-s3 dynamodb-local; do
        attempt "Maven could not fetch the jars of profile $profile" mvn -q -B -ntp -P "$profile" dependency:copy-dependencies
    done
    stamp jars
fi
if [ ! -d emulators/node_modules ] || stale emulators emulators/package-lock.json; then
    echo "bootstrap: Kinesis emulator"
    attempt "npm could not install the Kinesis emulator" \
        env PATH="$PWD/.venv/bin:$PATH" npm ci --prefix emulators --loglevel error --no-audit --no-fund
    stamp emulators
fi
