#!/usr/bin/env bash
# Runs every test of the project on a Debian machine with Go and git.
#
# What a test needs beyond Go is installed with apt-get when this runs as root (or sudo asks for no
# password). What can't be installed is named, and the part that needs it is left out, unless CI=true:
# then nothing may be left out.
set -euo pipefail
cd "$(dirname "$0")/.."

strict=${CI:-false}
skipped=()

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo "$@"; else return 1; fi
}

updated=false
need() { # need PROGRAM PACKAGE... : have the program, installing the packages if it is missing
  local program=$1; shift
  command -v "$program" >/dev/null && return 0
  command -v apt-get >/dev/null || return 1
  if ! $updated; then as_root apt-get update -qq >/dev/null 2>&1 || true; updated=true; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 || true
  command -v "$program" >/dev/null
}

leave_out() {
  echo "SKIPPED: $1"
  skipped+=("$1")
}

failed=()
step() { # step NAME COMMAND... : run it, go on after a failure, remember it
  local name=$1; shift
  echo "== $name"
  local start=$SECONDS
  if "$@"; then echo "== $name: ok ($((SECONDS - start)) s)"; else echo "== $name: FAILED"; failed+=("$name"); fi
}

need gcc gcc libc6-dev && race=(-race) || { race=(); leave_out "race detector: no C compiler"; }

need redis-server redis-server || leave_out "tests with Redis: redis-server can't be installed"

formatted() {
  local files
  files=$(gofmt -l cmd internal conformance bench web/ui/*.go 2>/dev/null)
  [ -z "$files" ] || { echo "not gofmt'ed: $files"; return 1; }
}

step "gofmt" formatted
# Prometheus iterators have a Seek of their own; the check for io.Seeker is wrong about them.
step "go vet" go vet -stdmethods=false ./...
# With every discovery, as a release has it.
step "go vet, release" go vet -stdmethods=false -tags kubernetes,clouds ./internal/scraper ./cmd/hune
step "tests, release" go test -tags kubernetes,clouds -run TestDiscoveries ./internal/scraper
step "build" go build -o bin/hune ./cmd/hune
step "tests" go test -timeout 20m ./...
if [ ${#race[@]} -gt 0 ]; then
  step "tests of concurrent packages with the race detector" go test -race -short -timeout 20m \
    ./internal/wal/... ./internal/cache/... ./internal/scheduler/... ./internal/frontend/... ./internal/ingester/... \
    ./internal/store/... ./internal/distributor/... ./internal/telemetry/... ./internal/scraper/... \
    ./internal/block ./internal/column ./internal/logs ./internal/logs/logql ./internal/logs/deletes \
    ./internal/querier ./internal/compactor ./internal/api/loki ./internal/rules ./internal/generator ./internal/traces ./internal/traces/traceql \
    ./internal/ruler ./internal/ruler/template ./internal/alertmanager ./internal/history
fi

node_is_new_enough() { node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; }

if ! need node nodejs npm || ! need npm npm; then
  leave_out "UI tests: node can't be installed"
elif ! node_is_new_enough; then
  leave_out "UI tests: node $(node --version) is too old, they need 20.19 (this system's package is older)"
else
  ui() { (cd web/ui && npm ci --no-audit --no-fund --loglevel=error && npm run --silent check && npm test --silent); }
  step "UI: types and unit tests" ui
  if need chromium chromium && need curl curl; then
    step "UI: end to end in Chromium" scripts/ui-e2e.sh
  else
    leave_out "UI end-to-end tests: chromium or curl can't be installed"
  fi
fi

echo
for s in "${skipped[@]}"; do echo "left out: $s"; done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
if [ "$strict" = true ] && [ ${#skipped[@]} -gt 0 ]; then
  echo "FAILED: parts were left out, which CI does not allow"
  exit 1
fi
echo "all tests passed"
