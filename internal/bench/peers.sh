#!/usr/bin/env bash
# Runs brimline through the harness that measures the same job in Kafka Streams, Flink and others, on the same broker and
# data, judged against the same truth.   peers.sh [TESTS [PEER …]]
#   TESTS   of the harness, by commas (default tput); PEER … are measured after brimline, in the same run
#   PEERS   folder of the harness (default ../shared/peers beside the checkout)
# Settings of the harness (PEERS_CACHE, TIMEOUT, RATE, SECS, PRE) are passed on. One JSON line per result.
set -euo pipefail
cd "$(dirname "$0")/../.."
peers=${PEERS:-../shared/peers}
if [[ ! -x $peers/run.sh ]]; then
  echo "the harness is not in $peers; set PEERS to its folder" >&2
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
for peer in brimline "$@"; do
  PEERS_EXTRA=$work/peers.json "$peers/run.sh" "$peer" "$tests"
done
