#!/usr/bin/env bash
# Runs brimline through the harness that measures the same job in Kafka Streams, Flink and others, on the same broker and
# data, judged against the same truth.   peers.sh [TESTS [PEER …]]
#   TESTS   of the harness, by commas (default tput); brimline is measured, and each PEER
#   PEERS   folder of the harness (default ../shared/peers beside the checkout)
#   ROUNDS  how often each program runs (default 3): they take turns, in reverse order every other time. Before, one run
#           of brimline's that does not count warms the broker: a cold one takes 20 s of CPU time more. WARM=0 leaves it out
#   RESULTS file that gets one JSON line per result (default: none)
# Settings of the harness (PEERS_CACHE, TIMEOUT, RATE, SECS, PRE) are passed on. Prints one JSON line per result and, in
# the end, each figure's median, smallest and largest value, and brimline's median as a multiple of the peer's. Ends with
# 1 if a run was not done.
set -euo pipefail
cd "$(dirname "$0")/../.."
peers=${PEERS:-../shared/peers} rounds=${ROUNDS:-3}
if [[ ! -x $peers/run.sh ]]; then
  echo "the harness is not in $peers; set PEERS to its folder" >&2
  exit 2
fi
if ! command -v jq >/dev/null; then
  echo 'jq is needed, for the medians' >&2
  exit 2
fi
if [[ ! $rounds =~ ^[1-9][0-9]*$ ]]; then
  echo "ROUNDS=$rounds is no number of rounds" >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/brimline" ./cmd/brimline
cat >"$work/rules.sh" <<'END'
#!/bin/sh
printf 'rules:\n  - {id: week, window: %s, limit: "%s"}\n' "$3" "$2" >"$1"
END
chmod +x "$work/rules.sh"
cat >"$work/peers.json" <<END
{"brimline": {
  "prepare": ["$work/rules.sh", "{tmp}/rules.yaml", "{threshold}", "{window_seconds}s"],
  "command": ["$work/brimline", "run", "--brokers", "{brokers}", "--group", "{app}", "--source", "{topic}", "--alerts", "{alerts}",
              "--rules", "{tmp}/rules.yaml", "--state-dir", "{state}", "--listen", "off", "--session-timeout", "6s"],
  "env": {"BRIMLINE_DATABASE_URL": "{database_url}"},
  "alert": {"user": "/user_id", "edge_id": null, "edge_time": "/edge_time", "trigger_id": "/transaction/id",
            "total_cents": null, "total": "/database/total", "match": {"/status": "verified"}},
  "group": "{app}-route"
}}
END
tests=${1:-tput}
[[ $# -eq 0 ]] || shift
programs=(brimline "$@")
measure() { PEERS_EXTRA=$work/peers.json "$peers/run.sh" "$1" "$tests"; }

if [[ ${WARM:-1} != 0 ]]; then
  echo 'warming the broker' >&2
  measure brimline >/dev/null || true
fi
failed=0
: >"$work/all"
for ((round = 1; round <= rounds; round++)); do
  order=("${programs[@]}")
  if ((round % 2 == 0)); then
    order=()
    for program in "${programs[@]}"; do order=("$program" "${order[@]}"); done
  fi
  for program in "${order[@]}"; do
    echo "round $round of $rounds: $program" >&2
    measure "$program" | tee -a "$work/all" || failed=1
  done
done
[[ -z ${RESULTS-} ]] || cat "$work/all" >>"$RESULTS"
jq -rs -f internal/bench/peers.jq "$work/all"
exit "$failed"
