SELECT DISTINCT user_id, ts, before, total, transactions FROM (
  SELECT user_id, ts,
         SUM(weight) OVER w AS total, COUNT(*) OVER w AS transactions,
         COALESCE(SUM(weight) OVER b, 0) AS before, COUNT(*) OVER b AS earlier
  FROM (
    SELECT user_id::text COLLATE "C" AS user_id, "timestamp" AS ts, ABS(amount) AS weight
    FROM :table WHERE amount IS NOT NULL AND (:where)
  ) measured
  WINDOW w AS (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL :'window' PRECEDING AND CURRENT ROW),
         b AS (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL :'window' PRECEDING AND CURRENT ROW EXCLUDE GROUP)
) tb WHERE total > :limit * transactions AND transactions >= :min_count
       AND NOT (before > :limit * earlier AND earlier >= :min_count)
ORDER BY user_id, ts;
