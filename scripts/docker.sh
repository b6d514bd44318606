# shellcheck shell=bash disable=SC2154  # `root`: of the scripts before this one
# Tests the image with the programs of build/test; sourced by scripts/test.
#
# It uses the engine that answers, or starts one of its own, whose data goes with it, in a network
# namespace, so that it leaves no rules in the firewall and no rules of others are in its way. Where the engine has no debian:bookworm-slim it makes one of the mirror's
# packages, once: build/docker/base.tar.

docker_skipped=77

# Starts an engine in FOLDER, sets DOCKER_HOST, and `in_network` to what runs a command where the
# engine's containers can be reached.
start_engine() {  # FOLDER
  local folder=$1 log=$root/build/docker/engine.log
  if ((EUID != 0)); then
    echo "docker: no engine answers, and only root can start one"
    return 1
  fi
  local namespace=${folder##*/}
  if ! ip netns add "$namespace"; then
    echo "docker: no engine answers, and no network namespace can be made for one"
    return 1
  fi
  in_network=(nsenter "--net=/run/netns/$namespace")
  "${in_network[@]}" ip link set lo up
  "${in_network[@]}" dockerd --host "unix://$folder/engine.sock" --data-root "$folder/data" \
    --exec-root "$folder/exec" --pidfile "$folder/engine.pid" >"$log" 2>&1 &
  engine_pid=$!
  export DOCKER_HOST=unix://$folder/engine.sock
  local end=$((SECONDS + 60))
  until docker version >/dev/null 2>&1; do
    if ! kill -0 "$engine_pid" 2>/dev/null || ((SECONDS > end)); then
      echo "docker: the engine does not start; $log ends with:"
      tail -n 3 "$log"
      return 1
    fi
    sleep 0.2
  done
}

# A file system of the packages that every Debian has, without what slim images lack.
make_base() {  # FOLDER
  local base=$1/base tar=$root/build/docker/base.tar
  if [[ ! -e $tar ]]; then
    echo "docker: making debian:bookworm-slim (a minute)"
    if ! debootstrap --variant=minbase bookworm "$base" >"$root/build/docker/base.log" 2>&1; then
      tail -n 5 "$root/build/docker/base.log" >&2
      return 1
    fi
    tar -C "$base" -cf "$tar.part" --one-file-system --exclude='./usr/share/doc/*' \
      --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
      --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' .
    mv "$tar.part" "$tar"
    rm -rf "$base"
  fi
  docker import "$tar" debian:bookworm-slim >/dev/null
}

# What the Dockerfile takes with PREBUILT, and no more.
make_context() {  # FOLDER
  local folder=$1
  mkdir -p "$folder/docker" "$folder/scripts"
  cp "$root/Dockerfile" "$folder/"
  cp "$root/docker/entrypoint" "$folder/docker/"
  cp "$root/scripts/install-deps" "$folder/scripts/"
  "$root/docker/programs" "$folder/prebuilt" "$root/build/test/bin"
}

# A process of its own, so that its cleaning up is done however it ends.
docker_checks() (
  engine_pid=''
  in_network=()
  images=()
  folder=$(mktemp -d /tmp/sidelb-docker.XXXXXX)
  # shellcheck disable=SC2317  # it is reached by the trap
  cleanup() {
    if ((${#images[@]} > 0)); then docker image rm --force "${images[@]}" >/dev/null || true; fi
    if [[ -n $engine_pid ]]; then
      kill -TERM "$engine_pid" 2>/dev/null || true
      wait "$engine_pid" || true
    fi
    if ((${#in_network[@]} > 0)); then ip netns delete "${folder##*/}"; fi
    rm -rf "$folder"
  }
  trap cleanup EXIT
  trap 'exit 130' INT TERM HUP

  mkdir -p "$root/build/docker"
  if ! docker version >/dev/null 2>&1; then
    start_engine "$folder" || exit "$docker_skipped"
  fi
  if ! docker image inspect debian:bookworm-slim >/dev/null 2>&1; then
    make_base "$folder" || exit 1
    images+=(debian:bookworm-slim)
  fi
  make_context "$folder/context" || exit 1
  local target
  for target in demo sidelb; do
    # Both tags are of the tests, so that images of the user stay as they are.
    docker build --quiet --network none --build-arg PREBUILT=prebuilt --target "$target" \
      --tag "sidelb-docker-test:$target" "$folder/context" >"$root/build/docker/build.log" 2>&1 ||
      { cat "$root/build/docker/build.log" >&2 && exit 1; }
    images+=("sidelb-docker-test:$target")
  done
  SIDELB_IMAGE=sidelb-docker-test:sidelb SIDELB_DEMO_IMAGE=sidelb-docker-test:demo \
    SIDELB_BIN=$root/build/test/bin PYTHONDONTWRITEBYTECODE=1 \
    "${in_network[@]}" /usr/bin/python3 "$root/tests/e2e/docker_test.py" -v 2>&1 | tee "$root/build/docker/test.log"
)

docker_stage() {
  local begin=$SECONDS built status=0 result=passed tests
  if ! configure "$root/build/test" -DSIDELB_WERROR=ON -DCMAKE_BUILD_TYPE=Release \
    '-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG' ||
    ! build "$root/build/test" sidelb sidelb-cli sidelb-demo-backend; then
    note docker 'build failed' - $((SECONDS - begin))s -
    return 1
  fi
  built=$SECONDS
  rm -f "$root/build/docker/test.log"
  docker_checks || status=$?
  if ((status == docker_skipped)); then
    result=skipped
  elif ((status != 0)); then
    result='tests failed'
  fi
  tests=$(sed -nE 's/^Ran ([0-9]+) tests? in .*/\1/p' "$root/build/docker/test.log" 2>/dev/null ||
    true)
  note docker "$result" "${tests:--}" $((built - begin))s $((SECONDS - built))s
  [[ $result != 'tests failed' ]]
}
