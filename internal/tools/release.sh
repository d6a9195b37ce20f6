#!/usr/bin/env bash
# What takes a night and must have passed before a release. Goes on after a suite that fails, writes for each suite the
# commit, date and result into the table of docs/records/README.md, and ends with 1 if one failed.
#   release.sh [SUITE…]     (default: all, in this order)
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
records=docs/records/README.md
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD || commit+=+dirty
logs=$(mktemp -d "${TMPDIR:-/tmp}/brimline-release-XXXXXX")
all=(test race matrix versions tools audit crash proofs network bench-stack bench fuzz)
failed=0

suite() {
  case $1 in
  test) make test vet lint GOTEST='go test -count=1' ;;
  race) make test-race RACE=. ;;
  matrix) BRIMLINE_MATRIX=all make test-stack STACK_TIMEOUT=8h ;;
  versions) make test-versions ;;
  tools) make test-tools ;;
  audit) BRIMLINE_AUDIT_LOAD=1h BRIMLINE_AUDIT_RATE=5000 make test PKG=./internal/e2e GOTEST='go test -count=1 -v -run ^TestAuditUnderLoad$$ -timeout 2h' ;;
  crash) BRIMLINE_CRASH_FAULTS=all BRIMLINE_CRASH_ROUNDS=50 BRIMLINE_CRASH_ROWS=200000 BRIMLINE_CRASH_REPORT=$logs/crash.md make test-crash ;;
  proofs) make test-proofs ;;
  network)
    faults=postgres-resets,postgres-slow,postgres-silent,network-slow,network-lossy,network-cut
    BRIMLINE_CRASH_FAULTS=$faults,network-one-way,network-end-held,network-end-held-old BRIMLINE_CRASH_ROUNDS=18 make test-crash
    ;;
  bench-stack) make bench-stack ;;
  bench) make bench ;;
  fuzz) make fuzz FUZZTIME=5m ;;
  *) echo "unknown suite: $1; there are: ${all[*]}" && return 2 ;;
  esac
}

[[ $# -eq 0 ]] || all=("$@")
for name in "${all[@]}"; do
  begin=$SECONDS result=passed
  echo "== $name"
  suite "$name" >"$logs/$name.log" 2>&1 || {
    result=failed failed=1
    tail -n 20 "$logs/$name.log"
  }
  result="$result, $((SECONDS - begin)) s"
  echo "== $name: $result, log in $logs"
  # The table's line `| NAME | what | commit | date | result |`.
  sed -i -E "s:^(\| $name \|[^|]*\|).*:\1 $commit | $(date -u +%F) | $result |:" "$records"
done
exit "$failed"
