# shellcheck shell=bash disable=SC2154  # `root`, `sanitized`: of the scripts before this one
# Builds the fuzz targets and runs each for a while; sourced by scripts/test.

# run_target NAME: runs one, finds kept in build/fuzz/corpus/NAME; its words go to its log.
run_target() {
  local name=$1 finds=$root/build/fuzz/corpus/$1 seeds=$root/tests/fuzz/corpus/$1
  local folders=("$finds")
  if [[ -d $seeds ]]; then folders+=("$seeds"); fi
  mkdir -p "$finds"
  local status=0
  # One seed, so that CI tries the same from run to run; FUZZ_SEED=0 draws another.
  "$root/build/fuzz/bin/${name}_fuzz" -max_total_time="$fuzz_seconds" -timeout=10 \
    -seed="${FUZZ_SEED:-1}" \
    -print_final_stats=1 -artifact_prefix="$root/build/fuzz/crashes/$name-" "${folders[@]}" \
    >"$root/build/fuzz/$name.log" 2>&1 || status=$?
  echo "$status" >"$root/build/fuzz/$name.status"
}

# One line of the table, from the log. Returns 1 when the target has found something.
report_target() {  # NAME
  local log=$root/build/fuzz/$1.log result=passed last edges features executions
  last=$(grep -aE '^#[0-9]+.* cov: ' "$log" | tail -n 1 || true)
  executions=$(sed -nE 's/^stat::number_of_executed_units: *//p' "$log")
  if [[ -z $executions ]]; then executions=$(sed -E 's/^#([0-9]+).*/\1/' <<<"$last"); fi
  edges=$(sed -nE 's/.* cov: ([0-9]+).*/\1/p' <<<"$last")
  features=$(sed -nE 's/.* ft: ([0-9]+).*/\1/p' <<<"$last")
  [[ $(cat "$root/build/fuzz/$1.status") == 0 ]] || result=FAILED
  printf '%-18s  %10s  %8s  %6s  %8s  %s\n' "$1" "${executions:--}" \
    $((${executions:-0} / fuzz_seconds)) "${edges:--}" "${features:--}" \
    "$result"
  [[ $result == passed ]]
}

# What a failed target says, and where its input is.
explain_target() {  # NAME
  local log=$root/build/fuzz/$1.log
  echo "fuzz: $1 failed; all it said is in $log" >&2
  grep -aE 'broken promise|runtime error|ERROR: |terminate called' "$log" >&2 ||
    tail -n 20 "$log" >&2
  sed -nE "s|.*Test unit written to (.*)|fuzz: again: $root/build/fuzz/bin/$1_fuzz \\1|p" "$log" >&2
}

fuzz() {
  local folder=$root/build/fuzz begin=$SECONDS built result=passed name running=0 names=()
  fuzz_seconds=${FUZZ_SECONDS:-10}
  if [[ ! $fuzz_seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "test: FUZZ_SECONDS '$fuzz_seconds'; allowed: seconds for each target, at least 1" >&2
    return 2
  fi
  if ! configure "$folder" -DCMAKE_CXX_COMPILER=clang++-14 -DSIDELB_WERROR=ON \
    -DSIDELB_SANITIZE=fuzzer "${sanitized[@]}" || ! build "$folder" fuzz_targets; then
    note fuzz 'build failed' - $((SECONDS - begin))s -
    return 1
  fi
  built=$SECONDS
  for name in "$root"/tests/fuzz/*_fuzz.cc; do
    name=${name##*/}
    names+=("${name%_fuzz.cc}")
  done
  mkdir -p "$folder/crashes"
  echo "fuzz: ${#names[@]} targets, ${fuzz_seconds} s each, $(nproc) at a time"
  for name in "${names[@]}"; do
    if ((running >= $(nproc))); then
      wait -n || true
      running=$((running - 1))
    fi
    run_target "$name" &
    running=$((running + 1))
  done
  wait
  printf '%-18s  %10s  %8s  %6s  %8s  %s\n' target executions 'exec/s' edges features result
  for name in "${names[@]}"; do
    report_target "$name" || result='input found'
  done
  for name in "${names[@]}"; do
    [[ $(cat "$folder/$name.status") == 0 ]] || explain_target "$name"
  done
  note fuzz "$result" "${#names[@]}" $((built - begin))s $((SECONDS - built))s
  [[ $result == passed ]]
}
