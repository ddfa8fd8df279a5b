# shellcheck shell=bash
# Set-up library of the scripts: source it. Every function may run again; nothing is printed when nothing is to do.

DOCKER_START_LIMIT=60 # seconds
NODE_MINIMUM=22.19.0  # what the CLI framework asks for
NODE_VERSION=24.21.0  # what is installed when the machine's own is older
GO_MINIMUM=1.25.0     # what test/cluster/*/go.mod ask for

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }

fail() { say "error: $*"; return 1; }

cache_dir() {
  local dir=${TPX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tpx}
  mkdir -p "$dir"
  printf '%s\n' "$dir"
}

# content_hash FILE|FOLDER…: 12 hex digits that depend on the files' names and contents, not on where the checkout is.
content_hash() {
  find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum \
    | awk '{ n = split($2, part, "/"); print $1, part[n] }' | sha256sum | cut -c1-12
}

# version_at_least HAVE WANT
version_at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$2" ]; }

# wait_until SECONDS WHAT COMMAND…: polls the command; names what it waited for when the limit is reached.
wait_until() {
  local limit=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { fail "waited ${limit}s for $what"; return 1; }
    sleep 0.2
  done
}

# together FUNCTION…: at the same time; fails if one of them does.
together() {
  local function pid pids=() code=0
  for function in "$@"; do
    "$function" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
  return "$code"
}

# quietly COMMAND…: its output is shown only if it fails.
quietly() {
  local log code=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || code=$?
  [ "$code" = 0 ] || { cat "$log" >&2; say "error: failed ($code): $*"; }
  rm -f "$log"
  return "$code"
}

package_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

ensure_packages() {
  local package missing=()
  for package in "$@"; do
    package_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || { fail "these packages are missing and there is no apt-get: ${missing[*]}"; return 1; }
  [ "$(id -u)" = 0 ] || { fail "these packages are missing; install them as root: apt-get install ${missing[*]}"; return 1; }
  say "installing packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly timeout 300 apt-get update && quietly timeout 900 apt-get install -y --no-install-recommends "${missing[@]}"
}

docker_answers() { timeout 10 docker info >/dev/null 2>&1; }

ensure_docker() {
  docker_answers && return 0
  [ "$(id -u)" = 0 ] || { fail "no Docker engine answers; start one, or run this as root to have it installed and started"; return 1; }
  command -v dockerd >/dev/null || ensure_packages docker.io containerd runc iptables || return 1
  start_dockerd
}

# A machine without an init system starts nothing by itself. setsid: the engine outlives the script and its terminal.
start_dockerd() {
  local log
  log=$(cache_dir)/dockerd.log
  # An engine that was killed leaves pid files; if another process has that pid by now, dockerd refuses to start.
  pgrep -x dockerd >/dev/null || rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid
  say "starting dockerd (log: $log)"
  setsid nohup dockerd >>"$log" 2>&1 </dev/null &
  wait_until "$DOCKER_START_LIMIT" "the Docker engine (log: $log)" docker_answers
}

ensure_node() {
  local have prefix
  have=$(node --version 2>/dev/null || echo v0)
  version_at_least "${have#v}" "$NODE_MINIMUM" && return 0
  prefix=$(cache_dir)/node-$NODE_VERSION
  [ -x "$prefix/node_modules/.bin/node" ] || install_node "$prefix" || return 1
  export PATH="$prefix/node_modules/.bin:$PATH"
  hash -r
}

# The npm package "node" fetches its binary in an install script, which npm 11 runs only for packages listed so.
install_node() {
  command -v npm >/dev/null || { fail "node >= $NODE_MINIMUM is needed, and there is no npm to install it with"; return 1; }
  say "installing node $NODE_VERSION (the one at hand is older than $NODE_MINIMUM)"
  rm -rf "$1"
  mkdir -p "$1"
  echo '{ "private": true, "allowScripts": { "node": true } }' >"$1/package.json"
  quietly timeout 600 npm install --prefix "$1" --no-audit --no-fund "node@$NODE_VERSION"
}

# ensure_npm_packages [FOLDER]: installs what package-lock.json says, only if that is not what was installed last.
# Not by `npm ci`: it fails where a registry lacks some platforms' optional packages, which then are not in the lock either.
ensure_npm_packages() {
  local folder=${1:-.} stamp lock_hash
  stamp=$folder/node_modules/.tpx-package-lock-hash
  lock_hash=$(content_hash "$folder/package-lock.json")
  [ "$(cat "$stamp" 2>/dev/null)" != "$lock_hash" ] || return 0
  say "installing npm packages"
  (cd "$folder" && quietly timeout 900 npm install --no-save --no-audit --no-fund) || return 1
  mkdir -p "$folder/node_modules" # a project without dependencies has none
  echo "$lock_hash" >"$stamp"
}

ensure_go() {
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go >/dev/null || { fail "Go >= $GO_MINIMUM is needed: https://go.dev/doc/install"; return 1; }
  local have
  have=$(go env GOVERSION)
  # A Go since 1.21 fetches the newer toolchain that a go.mod asks for.
  version_at_least "${have#go}" 1.21 || { fail "Go >= $GO_MINIMUM is needed; this is $have"; return 1; }
}
