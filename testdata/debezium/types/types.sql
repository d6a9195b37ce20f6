-- One column for each type whose reading the decoder knows, or refuses. :identity is DEFAULT or FULL. These rows are
-- there before the connector: it finds them in its snapshot.
DROP TABLE IF EXISTS streaming.transactions;
DROP DOMAIN IF EXISTS streaming.event_time, streaming.precise_time, streaming.money2, streaming.whole, streaming.flag, streaming.code, streaming.feeling, streaming.label, streaming.big CASCADE;
DROP TYPE IF EXISTS streaming.mood CASCADE;
SET search_path = streaming, public;
CREATE TYPE mood AS ENUM ('ok', 'sad');
CREATE DOMAIN event_time AS timestamp(3);
CREATE DOMAIN precise_time AS event_time;
CREATE DOMAIN money2 AS numeric(12,2);
CREATE DOMAIN whole AS numeric(12,0);
CREATE DOMAIN flag AS boolean;
CREATE DOMAIN code AS char(10);
CREATE DOMAIN feeling AS mood;
CREATE DOMAIN label AS text;
CREATE DOMAIN big AS bigint;
CREATE TABLE transactions (
    id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric(12,2) NOT NULL, timestamp timestamptz NOT NULL,
    c_ts0 timestamp(0), c_ts3 timestamp(3), c_ts4 timestamp(4), c_ts6 timestamp(6), c_ts timestamp,
    c_tz0 timestamptz(0), c_tz3 timestamptz(3), c_tz timestamptz, c_date date, c_time0 time(0), c_time time, c_timetz timetz,
    c_numeric numeric, c_numeric0 numeric(12,0), c_numeric2 numeric(12,2), c_numeric_neg numeric(5,-2), c_numeric_big numeric(30,10),
    c_int2 smallint, c_int4 integer, c_int8 bigint, c_float4 real, c_float8 double precision, c_bool boolean, c_oid oid,
    c_uuid uuid, c_text text, c_varchar varchar(20), c_char char(10), c_name name, c_citext citext, c_enum mood,
    c_inet inet, c_inet_net inet, c_inet6 inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
    c_json json, c_jsonb jsonb, c_xml xml, c_ltree ltree, c_hstore hstore, c_tsvector tsvector,
    c_bytea bytea, c_interval interval, c_money money, c_bit1 bit(1), c_bit3 bit(3), c_varbit varbit(8), c_point point, c_array text[], c_range int4range, c_tstzrange tstzrange,
    c_d_event_time event_time, c_d_precise_time precise_time, c_d_money2 money2, c_d_whole whole, c_d_flag flag, c_d_code code, c_d_feeling feeling, c_d_label label, c_d_big big,
    c_df_int8 bigint DEFAULT 77, c_df_numeric numeric(12,2) DEFAULT 10, c_df_ts timestamp DEFAULT '2020-01-01', c_df_tz timestamptz DEFAULT '2020-01-01 00:00:00+00', c_df_text text DEFAULT 'NO',
    c_nn_text text NOT NULL DEFAULT '', c_nn_plain text NOT NULL, c_nn_ts timestamp NOT NULL, c_nn_date date NOT NULL, c_nn_uuid uuid NOT NULL, c_nn_enum mood NOT NULL, c_nn_bool boolean NOT NULL, c_nn_jsonb jsonb NOT NULL, c_nn_free numeric NOT NULL,
    c_nn_inet inet NOT NULL, c_nn_char char(4) NOT NULL, c_nn_df bigint NOT NULL DEFAULT 5
);
ALTER TABLE transactions REPLICA IDENTITY :identity, OWNER TO app;
GRANT SELECT ON transactions TO cdc, brimline;
ALTER PUBLICATION debezium SET TABLE streaming.transactions;
CREATE OR REPLACE FUNCTION pg_temp.ordinary(row_id bigint) RETURNS void LANGUAGE sql AS $$
INSERT INTO streaming.transactions VALUES (
    row_id, 5, 12.34, '2026-11-23 01:02:03.456789+00',
    '2026-11-23 01:02:03', '2026-11-23 01:02:03.456', '2026-11-23 01:02:03.4567', '2026-11-23 01:02:03.456789', '2026-11-23 01:02:03.456789',
    '2026-11-23 01:02:03+00', '2026-11-23 01:02:03.456+00', '2026-11-23 01:02:03.456789+00', '2026-11-23', '01:02:03', '01:02:03.456789', '01:02:03.456789+02',
    1000, 1000, 1000.00, 12300, 12345678901234567890.0123456789,
    -12, 1234567, 9007199254740993, 0.1, 0.1, true, 4294967295,
    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', E'tëxt "q"', 'varying', 'OK', 'a_name', 'MiXed', 'sad',
    '203.0.113.7', '203.0.113.7/24', '2001:db8::1', '203.0.113.0/24', '08:00:2B:01:02:03', '08:00:2b:01:02:03:04:05',
    '{"b": 1,  "a": [1, null]}', '{"b": 1,  "a": [1, null]}', '<a  b="1"/>', 'Top.Science', 'k=>v, n=>NULL', 'fat cat',
    '\x00ff10', '1 year 2 mons 3 days 04:05:06.789', '12.34', B'1', B'101', B'1010', '(1.5,2)', '{x,NULL,y}', '[1,5)', '[2026-01-01 00:00:00+00,)',
    '2026-11-23 01:02:03.456', '2026-11-23 01:02:03.456', 12.34, 1000, true, 'OK', 'sad', 'label', 9007199254740993,
    1, 2, '2026-01-01', '2026-01-01 00:00:00+00', 'SE',
    'x', 'y', '2026-11-23 01:02:03.456789', '2026-11-23', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'sad', true, '{}', 7,
    '10.0.0.1', 'ab', 6)
$$;
CREATE OR REPLACE FUNCTION pg_temp.empty(row_id bigint) RETURNS void LANGUAGE sql AS $$
INSERT INTO streaming.transactions (id, user_id, amount, timestamp, c_df_int8, c_df_numeric, c_df_ts, c_df_tz, c_df_text,
    c_nn_plain, c_nn_ts, c_nn_date, c_nn_uuid, c_nn_enum, c_nn_bool, c_nn_jsonb, c_nn_free, c_nn_inet, c_nn_char)
VALUES (row_id, 6, -0.50, '2026-11-23 01:02:03+00', NULL, NULL, NULL, NULL, NULL,
    'y', '2026-11-23', '2026-11-23', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ok', false, '[]', 7, '10.0.0.1', 'ab')
$$;
