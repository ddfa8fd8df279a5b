# shellcheck shell=bash
# How the container images are put together; scripts/images is the command. Needs scripts/lib/setup.sh.

SUITE=bookworm                  # the Debian release of the base; it has sshfs 3.7.3, whose `directport` the mounts use
DEFAULT_BASE=debian:$SUITE-slim # what the Dockerfiles name, too
REGISTRY_ANSWER_LIMIT=8         # seconds until a pull must have begun
PULL_LIMIT=300
BUILD_LIMIT=600

# engine_arch: the engine's architecture (it may be remote) in Node's and npm's words.
engine_arch() {
  local arch
  arch=$(docker version --format '{{.Server.Arch}}')
  case $arch in
    amd64) echo x64 ;;
    arm64) echo arm64 ;;
    *) fail "no image for the engine's architecture: $arch (amd64 and arm64 are supported)" ;;
  esac
}

# image_label IMAGE LABEL: its value, or nothing.
image_label() { docker image inspect --format "{{ index .Config.Labels \"$2\" }}" "$1" 2>/dev/null || true; }

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

# npm_package_folder NAME VERSION: the unpacked npm package in the cache. `npm pack` checks the digest, runs no scripts, and takes
# packages of any platform.
npm_package_folder() {
  local name=$1 version=$2 folder scratch
  folder=$(cache_dir)/npm/${name//\//+}-$version
  if [ ! -d "$folder" ]; then
    say "fetching $name $version from npm"
    mkdir -p "${folder%/*}"
    scratch=$(mktemp -d "${folder%/*}/.unpack.XXXXXX")
    (cd "$scratch" && timeout 300 npm pack --silent "$name@$version" >/dev/null && tar -xzf ./*.tgz) || {
      rm -rf "$scratch"
      fail "cannot fetch $name@$version from npm"
      return 1
    }
    # Whole or not at all: another run may be doing the same.
    [ -d "$folder" ] || mv "$scratch/package" "$folder"
    rm -rf "$scratch"
  fi
  printf '%s\n' "$folder"
}

# put_node CONTEXT ARCH VERSION: Node's binary without its symbols (15 % smaller), and its licence.
put_node() {
  local package
  package=$(npm_package_folder "node-linux-$2" "$3") || return 1
  # A strip for another architecture or system leaves the binary as it is, which works as well.
  strip -o "$1/node" "$package/bin/node" 2>/dev/null || cp "$package/bin/node" "$1/node"
  chmod 755 "$1/node"
  mkdir -p "$1/licenses"
  cp "$package/LICENSE" "$1/licenses/copyright"
}

# put_koffi CONTEXT ARCH VERSION: what `require('koffi')` opens. Since version 3 each platform's binary is a package of its own;
# the rest of both packages is sources, documentation and the musl build.
put_koffi() {
  local modules=$1/app/node_modules koffi binary name=@koromix/koffi-linux-$2
  koffi=$(npm_package_folder koffi "$3") || return 1
  binary=$(npm_package_folder "$name" "$3") || return 1
  mkdir -p "$modules/koffi/src/koffi/src" "$modules/$name/linux_$2"
  cp "$koffi"/{package.json,index.cjs,LICENSE.txt} "$modules/koffi/"
  cp "$koffi/src/koffi/index.cjs" "$modules/koffi/src/koffi/"
  cp "$koffi/src/koffi/src/static.cjs" "$modules/koffi/src/koffi/src/"
  cp "$binary"/{package.json,index.js} "$modules/$name/"
  cp "$binary/linux_$2/koffi.node" "$modules/$name/linux_$2/"
}

# dockerfile_argument FILE NAME: the default value of an ARG.
dockerfile_argument() { sed -n "s/^ARG $2=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$1"; }

# ensure_base NAME DOCKERFILE: the name of a base image that the engine has.
ensure_base() {
  local minimal
  if [ -n "${TPX_BASE:-}" ]; then
    printf '%s\n' "$TPX_BASE"
    return
  fi
  minimal=$(minimal_base_name "$1" "$2")
  if image_exists "$minimal"; then
    printf '%s\n' "$minimal"
  elif image_exists "$DEFAULT_BASE" || pull_base; then
    printf '%s\n' "$DEFAULT_BASE"
  else
    make_minimal_base "$minimal" "$2" && printf '%s\n' "$minimal"
  fi
}

minimal_base_name() {
  local hash
  hash=$({ dockerfile_argument "$2" PACKAGES; echo "$SUITE"; content_hash images/base; } | sha256sum | cut -c1-12)
  printf 'tpx/base-%s:%s\n' "$1" "$hash"
}

# pull_base: fails soon where no registry answers, but leaves a slow line its time.
pull_base() {
  local log puller result=0
  log=$(mktemp)
  timeout "$PULL_LIMIT" docker pull "$DEFAULT_BASE" >"$log" 2>&1 &
  puller=$!
  for ((tenths = 0; tenths < REGISTRY_ANSWER_LIMIT * 10; tenths++)); do
    if grep -q 'Pulling from' "$log" || ! kill -0 "$puller" 2>/dev/null; then break; fi
    sleep 0.1
  done
  if grep -q 'Pulling from' "$log"; then say "pulling $DEFAULT_BASE"; else kill "$puller" 2>/dev/null || true; fi
  wait "$puller" 2>/dev/null || result=1
  rm -f "$log"
  return "$result"
}

# make_minimal_base IMAGE DOCKERFILE: a Debian of the Dockerfile's packages and what they depend on, and nothing else.
make_minimal_base() {
  local packages archive log
  command -v mmdebstrap >/dev/null || ensure_packages mmdebstrap debian-archive-keyring || {
    fail "no image registry answers and there is no mmdebstrap to make a base with; set TPX_BASE to a Debian image that the engine has"
    return 1
  }
  packages=$(dockerfile_argument "$2" PACKAGES)
  archive=$(mktemp) log=$(mktemp)
  say "no image registry answers; making the base $1 from Debian packages"
  # The variant "extract" unpacks without running install scripts: 8 s, not 45, and no package manager inside.
  if timeout "$BUILD_LIMIT" mmdebstrap --variant=extract --include="${packages// /,}" --format=tar \
    --extract-hook="$PWD/images/base/finish" "$SUITE" "$archive" >"$log" 2>&1 \
    && docker import --change 'CMD ["sh"]' --change 'LABEL dev.tpx.component=base' "$archive" "$1" >>"$log" 2>&1; then
    rm -f "$archive" "$log"
    return
  fi
  cat "$log" >&2
  rm -f "$archive" "$log"
  fail "cannot make the base $1"
}

# docker_build ARGS…: quiet unless it fails. Without the buildx plugin only the classic builder is there.
docker_build() {
  local log
  log=$(mktemp)
  docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
  if ! timeout "$BUILD_LIMIT" docker build "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    fail "docker build failed"
    return 1
  fi
  rm -f "$log"
}
