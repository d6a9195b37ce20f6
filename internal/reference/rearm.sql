SELECT user_id, ts, before, total, transactions FROM (
  SELECT *,
         MAX(ts) FILTER (WHERE before <= :rearm) OVER (PARTITION BY user_id ORDER BY ts) AS low,
         MAX(ts) FILTER (WHERE total > :limit) OVER (PARTITION BY user_id ORDER BY ts
           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS high
  FROM (
    :totals
  ) tb
) lows WHERE total > :limit AND low IS NOT NULL AND (high IS NULL OR low > high)
ORDER BY user_id, ts;
