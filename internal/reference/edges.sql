SELECT DISTINCT user_id, ts, before, total, transactions FROM (
  SELECT user_id, ts,
         :aggregate(weight) OVER w AS total,
         COALESCE(:aggregate(weight) OVER b, 0) AS before,
         COUNT(*) FILTER (WHERE counts) OVER w AS transactions
  FROM (
    SELECT user_id::text COLLATE "C" AS user_id, "timestamp" AS ts, :weight AS weight, :counts AS counts
    FROM :table WHERE amount IS NOT NULL AND (:where)
  ) measured
  WINDOW w AS (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL :'window' PRECEDING AND CURRENT ROW),
         b AS (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL :'window' PRECEDING AND CURRENT ROW EXCLUDE GROUP)
) tb WHERE total > :limit AND before <= :limit
ORDER BY user_id, ts;
