-- The changes made while Debezium was streaming; the COPY of the recording is in copy.txt, at the mark.
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (1, 12.34, '2026-02-01 00:00:00.000001+00', 'single insert');
BEGIN;
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (1, -3441.50, '2026-02-01 00:00:01.5+00', 'three in one transaction: 1');
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (2, 99999999.99, '2026-02-01 00:00:02+00', 'three in one transaction: 2');
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (1, 0, '2026-02-01 00:00:03.999999+00', NULL);
COMMIT;
UPDATE streaming.transactions SET amount = 56.78 WHERE id = 11;
UPDATE streaming.transactions SET user_id = 7 WHERE id = 11;
UPDATE streaming.transactions SET description = NULL WHERE id = 11;
UPDATE streaming.transactions SET timestamp = '2026-02-02 00:00:00.25+00' WHERE id = 11;
UPDATE streaming.transactions SET amount = amount WHERE id = 11;
UPDATE streaming.transactions SET id = 1000 WHERE id = 12;
DELETE FROM streaming.transactions WHERE id = 13;
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (3, 1.00, 'infinity', 'streamed infinity');
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (3, 1.00, '-infinity', 'streamed -infinity');
BEGIN;
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES (3, 666.00, '2026-02-03 00:00:00+00', 'rolled back, must not be seen');
ROLLBACK;
BEGIN;
INSERT INTO streaming.transactions (id, user_id, amount, timestamp, description) VALUES (2000, 5, 1.00, '2026-02-03 00:00:01+00', 'born and gone in one transaction');
UPDATE streaming.transactions SET amount = 2.00 WHERE id = 2000;
DELETE FROM streaming.transactions WHERE id = 2000;
COMMIT;
INSERT INTO streaming.transactions (id, user_id, amount, timestamp, description)
    SELECT 3000, 6, 10.00, '2026-02-03 00:00:02+00', string_agg(md5(i::text), '') FROM generate_series(1, 100) i;
UPDATE streaming.transactions SET amount = 20.00 WHERE id = 3000;
-- COPY
ALTER TABLE streaming.transactions ADD COLUMN booked_at timestamp, ADD COLUMN booked_on date, ADD COLUMN fee numeric,
    ADD COLUMN rate double precision, ADD COLUMN ok boolean, ADD COLUMN doc jsonb, ADD COLUMN tags text[], ADD COLUMN currency text NOT NULL DEFAULT 'EUR';
INSERT INTO streaming.transactions (id, user_id, amount, timestamp, description, booked_at, booked_on, fee, rate, ok, doc, tags)
    VALUES (4000, 6, 1.10, '2026-02-03 00:00:03+00', 'after a schema change', '2026-02-03 00:00:03.123456', '2026-02-03', 0.125, 0.1, true, '{"a": [1, null]}', '{x,NULL,y}');
UPDATE streaming.transactions SET booked_at = 'infinity', booked_on = 'infinity', fee = 12345678901234567890.5 WHERE id = 4000;
UPDATE streaming.transactions SET amount = 57.00 WHERE id = 11;
TRUNCATE streaming.transactions;
INSERT INTO streaming.transactions (id, user_id, amount, timestamp, description) VALUES (9999, 9, 9.99, '2026-02-03 00:00:04+00', 'end of capture');
