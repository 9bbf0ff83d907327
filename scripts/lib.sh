# Sourced by the other scripts: words for the reader, and finding the tools.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
logs=$root/.build/log
export CLICOLOR=0

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_root() {
  [ "$(id -u)" = 0 ] || fail "$(basename "$0") loads BPF programs and makes network namespaces: run it as root (sudo $0)"
}

# sudo replaces PATH, so a toolchain in the caller's home is asked of the caller's login shell.
find_swift() {
  if command -v swift >/dev/null 2>&1; then return; fi
  local found=""
  if [ -n "${SUDO_USER:-}" ]; then found=$(su - "$SUDO_USER" -c 'command -v swift' 2>/dev/null | tail -n 1); fi
  [ -x "$found" ] || fail "no Swift toolchain found: install Swift 6.2 or later (https://www.swift.org/install/linux/) and put it on PATH"
  PATH=$(dirname "$found"):$PATH
  export PATH
}

# step NAME COMMAND...: runs it with its output in a file, tells how far it is every 20 seconds, shows the end of the
# output if it fails. Times go to the table that `times` prints.
step_names=()
step_seconds=()
step() {
  local name=$1 start=$SECONDS status=0 log last
  shift
  mkdir -p "$logs"
  log=$logs/$(printf '%s' "$name" | tr -c 'A-Za-z0-9\n' '-').log
  printf '==> %s\n' "$name"
  "$@" >"$log" 2>&1 </dev/null &
  local pid=$! shown=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.3
    if [ $((SECONDS - shown)) -ge 20 ]; then
      shown=$SECONDS
      # No such line yet is no failure, also where a caller runs under `set -e`.
      last=$(grep -aE '^\[[0-9]+/[0-9]+\]|^. (Test|Suite)|^[A-Z][a-z]+ing |^=== ' "$log" | tail -n 1 | cut -c1-100) || true
      printf '    %4d s  %s\n' $((SECONDS - start)) "$last"
    fi
  done
  wait "$pid" || status=$?
  step_names+=("$name")
  step_seconds+=($((SECONDS - start)))
  if [ "$status" != 0 ]; then
    printf '    failed after %d s, status %d; the end of %s:\n' $((SECONDS - start)) "$status" "${log#"$root"/}"
    grep -aE 'error:|✘' "$log" | sort -u | head -n 60
    echo '    ...'
    tail -n 40 "$log"
    return "$status"
  fi
  printf '    done in %d s\n' $((SECONDS - start))
}

times() {
  local i total=0
  printf '\n%8s  %s\n' seconds step
  for i in "${!step_names[@]}"; do
    printf '%8d  %s\n' "${step_seconds[$i]}" "${step_names[$i]}"
    total=$((total + step_seconds[i]))
  done
  printf '%8d  total\n' "$total"
}
