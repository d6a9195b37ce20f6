INSERT INTO streaming.transactions VALUES (:id1,
    true, -32768, 2147483647, 9223372036854775807, 4294967295,
    0.1, 1e-7,
    12345678901234567890.50, -1.28, 1500, 12300,
    '1234.5',
    '2026-01-02 03:04:05.123456+00', '2026-01-02 03:04:05.6+00', '2026-01-02 03:04:05.1234+00',
    '2026-01-02 03:04:05.123456', '2026-01-02 03:04:05.6', '2026-01-02 03:04:05.1234', '2026-01-02 03:04:05.12345', '1969-12-31 23:59:59.999999',
    '2026-01-02', '03:04:05.123456', '03:04:05.6', '03:04:05.1234', '03:04:05.12345', '03:04:05.123456+02', '03:04:05+02', '1 mon 2 days 03:04:05.5',
    E'ü € 😀 "q" \\ \n\t', 'v ', 'ab', 'n', 'x',
    '\x00ff10', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a" :  [1, null]}', '{"a": [1, null]}', '<a>b</a>',
    '203.0.113.7', '203.0.113.0/24', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
    B'101', B'1', B'100000000010', B'10110',
    '(1,2.5)', '(1,2),(3,4)', '{1,2,3}', '<(1,2),3>',
    '[1,5)', '[1,)', '(1.5,2.50]', '[2026-01-01 00:00:00,2026-01-02 00:00:00)', '[2026-01-01 00:00:00+00,2026-01-02 00:00:00+00)', '[2026-01-01,2026-01-05)',
    '{[1,3),[5,9)}',
    'fat cat', '16/B374D848',
    'it''s "bad"', '(1,"a,b")', 'CaseIns', 'a=>1, b=>NULL', 'a.b.c',
    -1.28, 99.99, '2026-01-02 03:04:05.12+00', '2026-01-02 03:04:05.123', '2026-01-02', '03:04:05',
    false, -5, 0.1, 'code', '\xff', '{1,2}', '{"b": 2}',
    'ok',
    '{t,f,NULL}', '{1,2}', '{1,NULL}', '{9223372036854775807}', '{26}', '{0.1,NaN}', '{0.1,Infinity}',
    '{1.50,NULL,NaN}', '{1.50}', '{"2026-01-02 03:04:05.12+00",infinity}', '{"2026-01-02 03:04:05.123456",infinity}', '{"2026-01-02 03:04:05.123"}',
    '{2026-01-02,infinity}', '{03:04:05.5}', '{03:04:05+02}', '{a,"b,\"c",NULL,""}', '{ab}', '{ab}', '{"\\x00ff"}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}',
    '{"{\"a\": 1}"}', '{"{\"a\": 1}"}', '{203.0.113.7}', '{"1 day"}', '{12.5}', '{101}', '{"[1,3)"}',
    '{ok,"it''s \"bad\""}', '{"(1,a)"}', '{CaseIns}', '{1.50}', '{"2026-01-02 03:04:05+00"}', '{t}',
    '{{1,2},{3,NULL}}',
    NULL);
INSERT INTO streaming.transactions (id) VALUES (:id2);
INSERT INTO streaming.transactions (id, c_float4, c_float8, c_numeric, c_timestamptz, c_timestamp, c_timestamp_0, c_timestamp_3, c_date, c_time, c_time_0, c_time_3,
    c_timetz, c_timetz_0, c_bit1, c_varbit, c_money, c_text, c_bytea, a_int4, a_text, d_event_time, d_local_time, d_day, c_tstzrange)
    VALUES (:id3, 'NaN', '-Infinity', 'NaN', 'infinity', 'infinity', 'infinity', 'infinity', 'infinity', '24:00:00', '24:00:00', '24:00:00',
    '24:00:00-15:59', '23:30:00-02', B'0', B'', '-0.05', '', '', '{}', '{}', '-infinity', 'infinity', 'infinity', 'empty');
INSERT INTO streaming.transactions (id, c_float4, c_float8, c_numeric, c_timestamptz, c_timestamp, c_timestamp_0, c_timestamp_3, c_date, c_time, c_timetz, c_timetz_0, c_bool)
    VALUES (:id4, '-0', 1e20, 'Infinity', '-infinity', '-infinity', '-infinity', '-infinity', '-infinity', '00:00:00', '00:30:00+05:30:15', '24:00:00+00', false);
INSERT INTO streaming.transactions (id, c_float4, c_float8, c_numeric, c_numeric_12_0, c_timestamptz, c_timestamp, c_timestamp_3, c_date, c_time)
    VALUES (:id5, 3.4028235e38, 5e-324, '-Infinity', 0, '0044-03-15 12:00:00+00 BC', '0044-03-15 12:00:00 BC', '12026-01-02 03:04:05.123', '0044-03-15 BC', '23:59:59.999999');
INSERT INTO streaming.transactions (id, c_float4, c_float8, c_numeric, c_numeric_12_0, c_timestamptz, c_timestamp, c_timestamp_3, c_date, c_money)
    VALUES (:id6, 16777216, 123456789012345678, 1e-10, 12345678, '294276-12-31 23:59:59.999999+00', '294246-12-31 23:59:59.999999', '0001-01-01 00:00:00', '5874897-12-31', '-92233720368547758.08');
