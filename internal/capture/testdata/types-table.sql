-- A table with a column of every type, for what snapshot and stream write of each. Statements end with a semicolon at the end of a line.
DROP TABLE IF EXISTS streaming.transactions;
CREATE SCHEMA IF NOT EXISTS streaming;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS ltree;
DROP SCHEMA IF EXISTS kinds CASCADE;
CREATE SCHEMA kinds;
CREATE DOMAIN kinds.money_amount AS numeric(12, 2);
CREATE DOMAIN kinds.fee AS kinds.money_amount CHECK (VALUE > -1000);
CREATE DOMAIN kinds.event_time AS timestamptz;
CREATE DOMAIN kinds.local_time AS timestamp(3);
CREATE DOMAIN kinds.day AS date;
CREATE DOMAIN kinds.clock AS time(0);
CREATE DOMAIN kinds.flag AS boolean;
CREATE DOMAIN kinds.whole AS bigint;
CREATE DOMAIN kinds.ratio AS double precision;
CREATE DOMAIN kinds.code AS varchar(10);
CREATE DOMAIN kinds.blob AS bytea;
CREATE DOMAIN kinds.ints AS int[];
CREATE DOMAIN kinds.document AS jsonb;
CREATE TYPE kinds.mood AS ENUM ('ok', 'it''s "bad"');
CREATE DOMAIN kinds.feeling AS kinds.mood;
CREATE TYPE kinds.point3 AS (x int, y text);
CREATE TABLE streaming.transactions (
    id bigint PRIMARY KEY,
    c_bool boolean, c_int2 smallint, c_int4 integer, c_int8 bigint, c_oid oid,
    c_float4 real, c_float8 double precision,
    c_numeric numeric, c_numeric_12_2 numeric(12, 2), c_numeric_12_0 numeric(12, 0), c_numeric_neg numeric(5, -2),
    c_money money,
    c_timestamptz timestamptz, c_timestamptz_0 timestamptz(0), c_timestamptz_3 timestamptz(3),
    c_timestamp timestamp, c_timestamp_0 timestamp(0), c_timestamp_3 timestamp(3), c_timestamp_4 timestamp(4), c_timestamp_6 timestamp(6),
    c_date date, c_time time, c_time_0 time(0), c_time_3 time(3), c_time_4 time(4), c_timetz timetz, c_timetz_0 timetz(0), c_interval interval,
    c_text text, c_varchar varchar(20), c_char char(10), c_name name, c_internal_char "char",
    c_bytea bytea, c_uuid uuid, c_json json, c_jsonb jsonb, c_xml xml,
    c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
    c_bit bit(3), c_bit1 bit(1), c_bit12 bit(12), c_varbit varbit(8),
    c_point point, c_box box, c_line line, c_circle circle,
    c_int4range int4range, c_int8range int8range, c_numrange numrange, c_tsrange tsrange, c_tstzrange tstzrange, c_daterange daterange,
    c_int4multirange int4multirange,
    c_tsvector tsvector, c_pg_lsn pg_lsn,
    c_enum kinds.mood, c_composite kinds.point3, c_citext citext, c_hstore hstore, c_ltree ltree,
    d_amount kinds.money_amount, d_fee kinds.fee, d_event_time kinds.event_time, d_local_time kinds.local_time, d_day kinds.day, d_clock kinds.clock,
    d_flag kinds.flag, d_whole kinds.whole, d_ratio kinds.ratio, d_code kinds.code, d_blob kinds.blob, d_ints kinds.ints, d_document kinds.document,
    d_feeling kinds.feeling,
    a_bool boolean[], a_int2 smallint[], a_int4 integer[], a_int8 bigint[], a_oid oid[], a_float4 real[], a_float8 double precision[],
    a_numeric numeric[], a_numeric_12_2 numeric(12, 2)[], a_timestamptz timestamptz[], a_timestamp timestamp[], a_timestamp_3 timestamp(3)[],
    a_date date[], a_time time[], a_timetz timetz[], a_text text[], a_varchar varchar(5)[], a_char char(3)[], a_bytea bytea[], a_uuid uuid[],
    a_json json[], a_jsonb jsonb[], a_inet inet[], a_interval interval[], a_money money[], a_bit bit(3)[], a_int4range int4range[],
    a_enum kinds.mood[], a_composite kinds.point3[], a_citext citext[], a_fee kinds.fee[], a_event_time kinds.event_time[], a_flag kinds.flag[],
    a_two_dimensions integer[][],
    end_mark text
);
