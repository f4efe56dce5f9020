#!/usr/bin/env bash
# Starts the real binary on free ports with an empty folder, sends demo telemetry, and runs the UI's
# end-to-end tests in Chromium against it.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x bin/hune ] || go build -o bin/hune ./cmd/hune
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

bin/hune serve --data "$work/data" --http "127.0.0.1:$port" --otlp-grpc "127.0.0.1:$((port + 1))" --otlp-http "127.0.0.1:$((port + 2))" 2>"$work/hune.log" &
pids+=($!)
for _ in $(seq 100); do
  curl -fs "http://127.0.0.1:$port/ready" >/dev/null && break
  sleep 0.1
done
curl -fs "http://127.0.0.1:$port/ready" >/dev/null || { cat "$work/hune.log"; exit 1; }
bin/hune demo --endpoint "127.0.0.1:$((port + 1))" --rate 5 --duration 10m --seed 1 >"$work/demo.log" 2>&1 &
pids+=($!)
sleep 20
binary=$PWD/bin/hune
cd web/ui
HUNE_URL="http://127.0.0.1:$port" HUNE_BINARY=$binary npm run --silent e2e || { tail -50 "$work/hune.log"; exit 1; }
