# Of results of the harness, one JSON object each: for each test and figure a line per program, in Markdown, of the runs
# that were done. What was wrong is summed over all runs.
def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def digits: (. * 100 | round) / 100 | tostring;
def quantiles($name; $of): ["p50", "p99", "p99.9", "max"] | to_entries[] | {key: "\($name) \(.value), ms", value: ($of // [])[.key]};
def figures: [
  {key: "s", value: (.total_s // .restart_to_done_s // .secs)}, {key: "rows/s", value: .eps_total},
  {key: "CPU s", value: .cpu_s}, {key: "broker CPU s", value: .broker_cpu_s}, {key: "CPU %", value: .cpu_pct},
  {key: "broker CPU %", value: .broker_cpu_pct}, {key: "RSS MB", value: .rss_peak_mb},
  {key: "to first alert, s", value: .restart_to_first_alert_s},
  quantiles("to the broker"; .append_ms_p50_p99_p999_max), quantiles("to the reader"; .visible_ms_p50_p99_p999_max)
] | map(select(.value | type == "number"));
def wrong: [.missing, .extra, .dup, .wrong_total, .undecodable] | map(. // 0) | add;
def each_program: group_by(.peer) | sort_by(.[0].peer != "brimline")[];

group_by(.test)[]
| map(select(.done == true)) as $done
| ($done | map(figures[].key) | reduce .[] as $k ([]; if index([$k]) then . else . + [$k] end)) as $names
| "\n## \(.[0].test)\n\n| figure | program | median | from | to | brimline / it |\n| --- | --- | --- | --- | --- | --- |",
  ( $names[] as $name
    | [$done[] | {peer, value: (figures[] | select(.key == $name) | .value)}]
    | ([.[] | select(.peer == "brimline").value] | if length > 0 then median else null end) as $ours
    | each_program
    | .[0].peer as $peer
    | map(.value)
    | median as $m
    | "| \($name) | \($peer) | \($m | digits) | \(min | digits) | \(max | digits) | \(
        if $ours == null or $m == 0 then "" else ($ours / $m | digits) end) |"
  ),
  ( each_program
    | "| runs; of them not done; wrong alerts in all | \(.[0].peer) | \(length); \(map(select(.done != true)) | length); \(map(wrong) | add) | | | |"
  )
