SELECT pg_temp.ordinary(1), pg_temp.empty(2) \g /dev/null
SET search_path = streaming, public;
INSERT INTO transactions SELECT (r).* FROM (SELECT (t #= hstore('id', '11')) r FROM transactions t WHERE id = 1) x;
INSERT INTO transactions SELECT (r).* FROM (SELECT (t #= hstore('id', '12')) r FROM transactions t WHERE id = 2) x;
UPDATE transactions SET user_id = 7 WHERE id = 11;
DELETE FROM transactions WHERE id = 11;
SET search_path = streaming, public;
INSERT INTO transactions SELECT (r).* FROM (SELECT (t #= hstore(ARRAY['id','c_ts6','c_ts3','c_date','c_tz','c_float4','c_float8'], ARRAY['13','infinity','-infinity','infinity','-infinity','NaN','-Infinity'])) r FROM transactions t WHERE id = 1) x;
INSERT INTO transactions SELECT (r).* FROM (SELECT (t #= hstore(ARRAY['id','c_ts6','c_ts3','c_date','c_tz','c_float4','c_float8'], ARRAY['14','0044-03-15 12:00:00 BC','12026-01-02 03:04:05','0044-03-15 BC','12026-01-02 03:04:05+00','16777216','1e22'])) r FROM transactions t WHERE id = 1) x;
INSERT INTO transactions SELECT (r).* FROM (SELECT (t #= hstore(ARRAY['id','c_ts6','c_ts3','c_date','c_tz','c_float4','c_float8'], ARRAY['15','1969-12-31 23:59:59.999999','1969-12-31 23:59:59.999','12026-01-02','2026-01-02 03:04:05.1+00','1.17549435e-38','5e-324'])) r FROM transactions t WHERE id = 1) x;
INSERT INTO streaming.transactions (id, user_id, amount, timestamp, c_name, c_ts6, c_ts3, c_date, c_nn_plain, c_nn_ts, c_nn_date, c_nn_uuid, c_nn_enum, c_nn_bool, c_nn_jsonb, c_nn_free, c_nn_inet, c_nn_char)
VALUES (20, 6, -0.50, '2026-11-23 01:02:03+00', 'some_name', '-infinity','infinity','-infinity','y', '2026-11-23', '2026-11-23', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ok', false, '[]', 7, '10.0.0.1', 'ab');
