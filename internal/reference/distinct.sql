SELECT DISTINCT user_id, ts, before, total, transactions FROM (
  SELECT t.user_id::text COLLATE "C" AS user_id, t."timestamp" AS ts, w.total, w.before, w.transactions
  FROM (SELECT * FROM :table WHERE amount IS NOT NULL AND (:where)) t
  CROSS JOIN LATERAL (
    SELECT COUNT(DISTINCT :of) AS total,
           COUNT(DISTINCT :of) FILTER (WHERE r."timestamp" < t."timestamp") AS before,
           COUNT(:of) AS transactions
    FROM (SELECT * FROM :table WHERE amount IS NOT NULL AND (:where)) r
    WHERE r.user_id = t.user_id AND r."timestamp" BETWEEN t."timestamp" - INTERVAL :'window' AND t."timestamp"
  ) w
) tb WHERE total > :limit AND before <= :limit
ORDER BY user_id, ts;
