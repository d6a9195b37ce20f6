-- The statements that testdata/debezium was recorded with: a fresh table, and the rows a snapshot finds in it.
-- The test adds REPLICA IDENTITY. Statements end with a semicolon at the end of a line.
DROP TABLE IF EXISTS streaming.transactions;
CREATE SCHEMA IF NOT EXISTS streaming;
CREATE TABLE IF NOT EXISTS streaming.transactions (
    id          bigserial PRIMARY KEY,
    user_id     bigint         NOT NULL,
    amount      numeric(12, 2) NOT NULL,
    timestamp   timestamptz    NOT NULL DEFAULT now(),
    description text
);
INSERT INTO streaming.transactions (user_id, amount, timestamp, description) VALUES
    (1, 12.34,          '2026-01-02 03:04:05.123456+00', 'card payment'),
    (1, -3441.50,       '2026-01-02 03:04:06+00',        'negative, whole second'),
    (2, 0,              '2026-01-02 05:04:07.12+02',     'zero, trailing zeros, another zone'),
    (2, 99999999.99,    '1969-12-31 23:59:59.999999+00', NULL),
    (3, -9999999999.99, 'infinity',                      'lowest amount, infinity'),
    (3, 9999999999.99,  '-infinity',                     'highest amount, -infinity'),
    (4, 0.01,           '2026-01-02 03:04:05.000001+00', E'unicode ü € 漢 😀, "quoted", back\\slash, new\nline'),
    (4, 128.00,         '0044-03-15 12:00:00+00 BC',     'unscaled 12800, before year 1'),
    (4, -0.01,          '9999-12-31 23:59:59.999999+00', ''),
    (4, 1.28,           '12026-01-02 03:04:05+00',       'unscaled 128 needs a sign byte, five-digit year');
