SELECT user_id, ts, before, total, transactions FROM (
  SELECT *, LAG(ts) OVER (PARTITION BY user_id ORDER BY ts) AS earlier FROM (
    :edges
  ) edges
) following WHERE earlier IS NULL OR ts - earlier > INTERVAL :'quiet'
ORDER BY user_id, ts;
