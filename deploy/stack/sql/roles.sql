-- Who may do what. Passwords come in as psql variables.
CREATE ROLE app LOGIN PASSWORD :'app_password';                  -- owns the table and writes to it
CREATE ROLE cdc LOGIN REPLICATION PASSWORD :'cdc_password';      -- reads the change stream, for Debezium
CREATE ROLE brimline LOGIN PASSWORD :'brimline_password';        -- asks for totals, and may do nothing else
