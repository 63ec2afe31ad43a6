# Shared by the shell commands in tools/; to be sourced, after which the working directory is the root.
# Progress goes to standard output, one line a step with its duration; full output goes to a log.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
mkdir -p build

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# step NAME COMMAND...: runs it, says how long it took; stops the script when it fails.
step() {
  local name=$1 began=$SECONDS
  shift
  say "== $name"
  "$@" || die "== $name: FAILED after $((SECONDS - began)) s"
  say "== $name: $((SECONDS - began)) s"
}

# Ninja's output, thinned off a terminal to about twenty lines; compiler messages pass whole.
thin_ninja() {
  if [[ -t 1 ]]; then cat; return; fi
  awk '
    match($0, /^\[[0-9]+\/[0-9]+\]/) {
      split(substr($0, 2, RLENGTH - 2), at, "/")
      tenth = int(at[1] * 20 / at[2])
      if (tenth != last || at[1] == at[2]) { print "  " $0; fflush() }
      last = tenth
      next
    }
    { print; fflush() }'
}

# build_preset PRESET [TARGET...]: configures once (ninja repeats it when a CMake file changes), then builds.
build_preset() {
  local preset=$1 log=build/$1.configure.log
  shift
  if [[ ! -f build/$preset/build.ninja ]]; then
    say "  configuring $preset (output in $log)"
    cmake --preset "$preset" >"$log" 2>&1 || { tail -n 30 "$log" >&2; say "configuring $preset failed: $log" >&2; return 1; }
  fi
  ninja -C "build/$preset" -j "$(nproc)" "$@" | thin_ninja
  return "${PIPESTATUS[0]}"
}

# python_venv: build/venv from the distribution's Python. Prints nothing; fails where venv is missing.
python_venv() {
  local python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  if [[ ! -x build/venv/bin/python ]] || ! build/venv/bin/python -c '' 2>/dev/null; then
    rm -rf build/venv
    "$python" -m venv build/venv >build/venv.log 2>&1 || return 1
  fi
}

# venv_install MARK PIP-ARGUMENTS...: installs once; the mark holds the arguments, so a new pin installs again.
venv_install() {
  local mark=build/venv/.installed-$1
  shift
  [[ -f $mark && $(<"$mark") == "$*" ]] && return 0
  build/venv/bin/python -m pip --disable-pip-version-check install --quiet --retries 2 --timeout 20 "$@" \
    >>build/venv.log 2>&1 || return 1
  printf '%s\n' "$*" >"$mark"
}

# run_tests PRESET [CTEST-ARGUMENTS...]: sanitizers stop at the first report; ctest prints its summary last.
run_tests() {
  local preset=$1
  shift
  ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
    TSAN_OPTIONS=halt_on_error=1 ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-19 || true) \
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
}
