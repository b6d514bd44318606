# shellcheck shell=bash
# Configures and builds; sourced by scripts/run, scripts/test and bench/compare.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# How many compilers at a time: one for each CPU, but a unit with gRPC takes over a gigabyte.
jobs() {
  local cpus gigabytes
  cpus=$(nproc)
  gigabytes=$(awk '/^MemAvailable:/ {print int($2 / 1500000)}' /proc/meminfo)
  ((gigabytes >= 1)) || gigabytes=1
  echo $((cpus < gigabytes ? cpus : gigabytes))
}

# configure FOLDER [CMAKE ARGUMENT...]: silent when all is well.
configure() {
  local folder=$1 log=$1/configure.log
  shift
  local arguments=("$@")
  # A folder keeps the generator that it began with.
  if [[ ! -e $folder/CMakeCache.txt ]] && command -v ninja >/dev/null; then
    arguments+=(-G Ninja)
  fi
  if command -v ccache >/dev/null; then
    arguments+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  mkdir -p "$folder"
  if ! cmake -S "$root" -B "$folder" "${arguments[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    echo "CMake could not configure $folder; its words are above" >&2
    return 1
  fi
}

# build FOLDER [TARGET...]: shows its progress.
build() {
  local folder=$1
  shift
  local targets=()
  if (($# > 0)); then targets=(--target "$@"); fi
  cmake --build "$folder" --parallel "$(jobs)" "${targets[@]}"
}

# Builds the release that scripts/run starts and bench/compare measures.
build_release() {  # SIDELB_BENCH=ON|OFF TARGET...
  local bench=$1
  shift
  configure "$root/build/release" -DCMAKE_BUILD_TYPE=Release -DSIDELB_TESTS=OFF "-D$bench" &&
    build "$root/build/release" "$@"
}
