#!/usr/bin/env bash
# Runs the suites on each release of PostgreSQL, Kafka and Debezium that the README names, one at a time beside the pinned
# ones, and prints a table.   versions.sh [postgres-13|…|kafka-3.9.1+debezium-2.7.4.Final|…]…     (default: all)
# Releases of PostgreSQL come from Maven Central (internal/tools/pgprograms); they lack pg_basebackup and pg_resetwal, so
# the tests that step ids or make a replica run on the machine's own release alone.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
pairs=(kafka-3.9.1+debezium-2.7.4.Final kafka-3.9.1+debezium-3.0.8.Final kafka-4.0.0+debezium-3.1.3.Final)
all=(postgres-{13..18} "${pairs[@]}")
[[ $# -eq 0 ]] || all=("$@")
logs=$(mktemp -d "${TMPDIR:-/tmp}/brimline-versions-XXXXXX")
failed=0
own='^(TestReplica|TestHosts|TestReplicaTransactionIDs|TestTransactionIDs)$' # what the fetched releases cannot
echo '| releases | suites | result | seconds |'
echo '| --- | --- | --- | --- |'

suite() { # suite RELEASES LOG PATTERN PACKAGE… : one line of the table
  local what=$1 log=$logs/$2 pattern=$3 begin=$SECONDS result=passed
  shift 3
  BRIMLINE_STACK=1 ${GO:-go} test -count=1 -timeout 60m -run "$pattern" \
    -skip "$skip" "$@" >"$log" 2>&1 || {
    result="failed, see $log" failed=1
  }
  local packages=${*#./internal/}
  [[ $pattern == . ]] && pattern=all
  echo "| $what | $packages: ${pattern//|/, } | $result | $((SECONDS - begin)) |"
}

for one in "${all[@]}"; do
  skip=$own
  case $one in
  postgres-*)
    major=${one#postgres-}
    PG_BIN=$(${GO:-go} run ./internal/tools/pgprograms "$major" 2>"$logs/$one-fetched") || {
      echo "| PostgreSQL $major | | not fetched, see $logs/$one-fetched | |"
      failed=1
      continue
    }
    export PG_BIN
    name="PostgreSQL $("$PG_BIN/postgres" --version | sed 's/.*) //')"
    suite "$name, pinned Kafka and Debezium" "$one-stack" '^TestStack(Scenarios|Variants)$/^(first-run|schemas|transactions|user-key)$' ./internal/e2e
    # `brimline capture` begins with 14, and refuses 13. Filters and lists of columns in publications, and
    # numeric(5,-2) in the tables of the other tests, came with 15.
    ((major > 14)) || skip+='|^(TestEveryType|TestSaysWhatTheTopicIsWithout)$|^TestExchanges/^(row_filter|column_list)'
    ((major < 14)) || suite "$name" "$one-capture" . ./internal/capture
    ((major < 15)) || suite "$name" "$one-asked" . ./internal/ledger ./internal/preflight ./internal/rules
    unset PG_BIN
    ;;
  kafka-*+debezium-*)
    KAFKA_VERSION=${one#kafka-} DEBEZIUM_VERSION=${one#*+debezium-}
    export KAFKA_VERSION=${KAFKA_VERSION%+*} DEBEZIUM_VERSION
    # Connect 3.9.1 does not answer when a connector with ExtractNewRecordState is put, with Debezium 2.7 and 3.0 alike
    # (500 after 90 s; the cause is not known): flattened records are tried with later ones.
    [[ $KAFKA_VERSION != 3.9.* ]] || skip='^TestStackVariants$/^unwrap'
    suite "Kafka $KAFKA_VERSION, Debezium $DEBEZIUM_VERSION" "$one" '^TestStack(Edges|Variants|Scenarios|Secure)$' ./internal/e2e ./internal/security
    unset KAFKA_VERSION DEBEZIUM_VERSION
    ;;
  *)
    echo "unknown: $one" >&2
    failed=1
    ;;
  esac
done
exit "$failed"
