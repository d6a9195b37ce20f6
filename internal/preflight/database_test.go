package preflight

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// server is one PostgreSQL for all tests of the package, which run one after another.
type server struct {
	once sync.Once
	pg   *embedded.Postgres
	err  error
}

var shared server // started by the first test that needs it, ended by TestMain

// fired are the checks that some test has seen to find something.
var fired sync.Map

// elsewhere are checks that are made, and tried, by package app and the command doctor.
var elsewhere = []string{
	"rules_file", "settings_wrong", "group_settings", "group_table_replaced", "group_record", "group_columns_changed",
	"postgres_connection_none", "postgres_connection_off", "kafka_alerts_shared",
	"instance_silent", "instance_distrusted_users", "instance_distrusts_wait",
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" {
		for _, c := range Checks() {
			if _, ok := fired.Load(c.ID); !ok && !slices.Contains(elsewhere, c.ID) {
				fmt.Printf("no test has seen the check %s find anything\n", c.ID)
				code = 1
			}
		}
	}
	if shared.pg != nil {
		_ = shared.pg.Stop(context.Background())
	}
	os.Exit(code)
}

const schema = `
	DO $$ DECLARE p text; BEGIN
		FOR p IN SELECT pubname FROM pg_publication LOOP EXECUTE format('DROP PUBLICATION %I', p); END LOOP;
	END $$;
	DROP SCHEMA IF EXISTS streaming CASCADE;
	CREATE SCHEMA streaming;
	CREATE TABLE streaming.transactions (
		id bigserial PRIMARY KEY, user_id bigint NOT NULL, amount numeric(12,2) NOT NULL,
		"timestamp" timestamptz NOT NULL DEFAULT now(), country text, risky boolean
	);
	CREATE INDEX transactions_user_time ON streaming.transactions (user_id, "timestamp");
	ALTER TABLE streaming.transactions REPLICA IDENTITY FULL;
	CREATE PUBLICATION app FOR TABLE streaming.transactions;`

const createSlot = "SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput')"

// newDatabase gives one in which everything is as it should be. It has no slot.
func newDatabase(t *testing.T) (DatabaseOptions, func(sql string)) {
	t.Helper()
	shared.once.Do(func() {
		shared.pg, shared.err = embedded.StartPostgres(context.Background(), embedded.PostgresOptions{NoSync: true})
		if shared.err == nil {
			execute(t, shared.pg.URL("postgres"), "CREATE DATABASE app")
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	url := shared.pg.URL("app")
	run := func(sql string) { t.Helper(); execute(t, url, sql) }
	run(schema)
	return DatabaseOptions{
		URL: url, Table: "streaming.transactions", ID: []string{"id"}, User: "user_id",
		Amount: "amount", Time: "timestamp", Scale: 2,
		Columns: []brimline.Column{{Name: "country", Type: brimline.Text}, {Name: "risky", Type: brimline.Boolean}},
	}, run
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatalf("%v in %s", err, sql)
	}
}

// expectFinding wants exactly one finding of the check at the level with the words in it.
func expectFinding(t *testing.T, findings []Finding, level Level, check string, words ...string) {
	t.Helper()
	var of []Finding
	for _, f := range findings {
		if f.Check != check && subject(f.Check) != check {
			continue
		}
		of = append(of, f)
		if f.Level != level {
			continue
		}
		found := true
		for _, w := range words {
			found = found && strings.Contains(f.What+"\n"+f.Remedy, w)
		}
		if found {
			fired.Store(f.Check, true)
			if level > Note && f.Remedy == "" {
				t.Errorf("no remedy: %+v", f)
			}
			return
		}
	}
	t.Errorf("no %s of %s with %q, but %+v", level, check, words, of)
}

// look is Database without the catalog.
func look(t *testing.T, o DatabaseOptions) []Finding {
	t.Helper()
	findings, _ := Database(t.Context(), o)
	return findings
}

func quietOn(t *testing.T, findings []Finding, checks ...string) {
	t.Helper()
	for _, f := range findings {
		for _, check := range checks {
			if (f.Check == check || subject(f.Check) == check) && f.Level > OK {
				t.Errorf("should be silent: %+v", f)
			}
		}
	}
}

func TestDatabaseAsItShouldBe(t *testing.T) {
	o, _ := newDatabase(t)
	findings, catalog := Database(t.Context(), o)
	if catalog == nil || catalog.OID == 0 {
		t.Errorf("catalog %+v", catalog)
	}
	for _, f := range findings {
		if f.Level > Note {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{
		"postgres_connection", "postgres_version", "postgres_clock", "postgres_table", "postgres_select", "postgres_columns", "postgres_primary_key",
		"postgres_replica_identity", "postgres_index", "postgres_wal_level", "postgres_replication", "postgres_publication",
	} {
		expectFinding(t, findings, OK, check)
	}
	if err := Err(findings); err != nil {
		t.Error(err)
	}
}

// Each case breaks one thing; the finding must come, and the others must stay away.
func TestDatabaseFindings(t *testing.T) {
	const all = "postgres_table postgres_select postgres_row_security postgres_columns postgres_primary_key " +
		"postgres_replica_identity postgres_index postgres_wal_level postgres_publication postgres_clock"
	for _, c := range []struct {
		name  string
		sql   string
		with  func(*DatabaseOptions)
		level Level
		check string
		words []string
		also  string // checks that cannot be silent then
	}{
		{"no table", "", func(o *DatabaseOptions) { o.Table = "streaming.nothing" }, Error, "postgres_table", []string{"no table streaming.nothing", "--table"}, ""},
		{"view", "CREATE VIEW streaming.v AS SELECT * FROM streaming.transactions", func(o *DatabaseOptions) { o.Table = "streaming.v" }, Error, "postgres_table", []string{"is a view"}, all},
		{"missing column", "", func(o *DatabaseOptions) { o.Amount = "betrag" }, Error, "postgres_columns", []string{`no column "betrag"`, "--amount-column", "id, user_id, amount"}, "postgres_publication"},
		{"missing rule column", "", func(o *DatabaseOptions) { o.Columns[0].Name = "land" }, Error, "postgres_columns", []string{`no column "land"`, "rules file"}, ""},
		{"rule column of another type", "", func(o *DatabaseOptions) { o.Columns[0].Type = brimline.Integer }, Error, "postgres_columns", []string{"country", "text", "declare it text"}, ""},
		{"float amounts", "ALTER TABLE streaming.transactions ALTER amount TYPE float8", nil, Error, "postgres_columns", []string{"double precision", `TYPE numeric(18,2)`}, ""},
		{"money", "ALTER TABLE streaming.transactions ALTER amount TYPE money", nil, Error, "postgres_columns", []string{"money", `TYPE numeric(18,2)`}, ""},
		{"domain over numeric", "CREATE DOMAIN streaming.eur AS numeric(12,2); ALTER TABLE streaming.transactions ALTER amount TYPE streaming.eur", nil, OK, "postgres_columns", nil, ""},
		{"finer amounts", "ALTER TABLE streaming.transactions ALTER amount TYPE numeric(14,4)", nil, Warning, "postgres_columns", []string{"numeric(14,4)", "scale: 4"}, ""},
		{"unbounded amounts", "ALTER TABLE streaming.transactions ALTER amount TYPE numeric", nil, Note, "postgres_columns", []string{"any scale"}, ""},
		{"nullable user", "ALTER TABLE streaming.transactions ALTER user_id DROP NOT NULL", nil, Warning, "postgres_columns", []string{"user column user_id may be NULL", "SET NOT NULL"}, ""},
		{"padded user", "ALTER TABLE streaming.transactions ALTER user_id TYPE char(12)", nil, OK, "postgres_columns", nil, ""},
		{"time without zone", `ALTER TABLE streaming.transactions ALTER "timestamp" TYPE timestamp`, nil, Note, "postgres_columns", []string{"without time zone", "UTC"}, ""},
		{"time as number", `ALTER TABLE streaming.transactions ALTER "timestamp" DROP DEFAULT, ALTER "timestamp" TYPE bigint USING 0`, nil, Error, "postgres_columns", []string{"bigint", "--time-column"}, ""},
		{"no primary key", "ALTER TABLE streaming.transactions DROP CONSTRAINT transactions_pkey", nil, Error, "postgres_primary_key", []string{"no primary key", `ADD PRIMARY KEY ("id")`}, ""},
		{"another primary key", "ALTER TABLE streaming.transactions DROP CONSTRAINT transactions_pkey, ADD PRIMARY KEY (user_id, id)", nil, Error, "postgres_primary_key", []string{"--id-column=user_id,id"}, ""},
		{"default identity", "ALTER TABLE streaming.transactions REPLICA IDENTITY DEFAULT", nil, Warning, "postgres_replica_identity", []string{"deletes become dead letters", "REPLICA IDENTITY FULL"}, ""},
		{"no identity", "ALTER TABLE streaming.transactions REPLICA IDENTITY NOTHING", nil, Warning, "postgres_replica_identity", []string{"refuses updates"}, ""},
		{"no index", "DROP INDEX streaming.transactions_user_time", nil, Warning, "postgres_index", []string{`CREATE INDEX CONCURRENTLY ON "streaming"."transactions" ("user_id", "timestamp")`}, ""},
		{"index on user alone", "DROP INDEX streaming.transactions_user_time; CREATE INDEX ON streaming.transactions (user_id)", nil, Warning, "postgres_index", nil, ""},
		{"index the wrong way round", `DROP INDEX streaming.transactions_user_time; CREATE INDEX ON streaming.transactions ("timestamp", user_id)`, nil, Warning, "postgres_index", nil, ""},
		{"partial index", `DROP INDEX streaming.transactions_user_time; CREATE INDEX part ON streaming.transactions (user_id, "timestamp") WHERE amount > 0`, nil, Warning, "postgres_index", []string{"part has these columns and covers only a part"}, ""},
		{"expression in the index", `DROP INDEX streaming.transactions_user_time; CREATE INDEX ON streaming.transactions (abs(user_id), "timestamp")`, nil, Warning, "postgres_index", nil, ""},
		{"index with more columns", `DROP INDEX streaming.transactions_user_time; CREATE INDEX more ON streaming.transactions (user_id, "timestamp" DESC, amount) INCLUDE (country)`, nil, OK, "postgres_index", []string{"more"}, ""},
		{"not published", "ALTER PUBLICATION app DROP TABLE streaming.transactions", nil, Note, "postgres_publication", []string{"not in a publication", "CREATE PUBLICATION"}, ""},
		{"published elsewhere", "", func(o *DatabaseOptions) { o.Publication = "other" }, Note, "postgres_publication", []string{`publication "other"`}, ""},
		{"publication without deletes", "ALTER PUBLICATION app SET (publish = 'insert, update')", nil, Warning, "postgres_publication", []string{"leaves out delete, truncate"}, ""},
		{"publication with a filter", "ALTER PUBLICATION app SET TABLE streaming.transactions WHERE (amount > 0)", nil, Warning, "postgres_publication", []string{"row filter", "name ours with --publication"}, ""},
		{"publication without a column", `ALTER PUBLICATION app SET TABLE streaming.transactions (id, user_id, "timestamp", country, risky)`, nil, Warning, "postgres_publication", []string{"leaves out column amount"}, ""},
		{"all tables", "DROP PUBLICATION app; CREATE PUBLICATION everything FOR ALL TABLES", nil, OK, "postgres_publication", nil, ""},
		{"clock ahead", "", func(o *DatabaseOptions) { o.Clock = func() time.Time { return time.Now().Add(-time.Minute) } }, Warning, "postgres_clock", []string{"1m ahead of"}, ""},
		{"clock behind", "", func(o *DatabaseOptions) { o.Clock = func() time.Time { return time.Now().Add(time.Hour) } }, Warning, "postgres_clock", []string{"1h behind"}, ""},
		{"materialized view", "CREATE MATERIALIZED VIEW streaming.v AS SELECT * FROM streaming.transactions", func(o *DatabaseOptions) { o.Table = "streaming.v" }, Error, "postgres_table_kind", []string{"materialized view"}, all},
		{"foreign partition", `CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE SERVER IF NOT EXISTS far FOREIGN DATA WRAPPER postgres_fdw;
			CREATE TABLE streaming.p (LIKE streaming.transactions) PARTITION BY RANGE ("timestamp");
			CREATE FOREIGN TABLE streaming.p1 PARTITION OF streaming.p DEFAULT SERVER far`,
			func(o *DatabaseOptions) { o.Table = "streaming.p" }, Error, "postgres_table_foreign", []string{"streaming.p1"}, all},
		{"generated amount", "ALTER TABLE streaming.transactions ADD cents bigint GENERATED ALWAYS AS ((amount * 100)::bigint) STORED", func(o *DatabaseOptions) { o.Amount = "cents" }, Error, "postgres_columns_generated", []string{"column cents"}, ""},
		{"whole amounts", "ALTER TABLE streaming.transactions ALTER amount TYPE bigint", func(o *DatabaseOptions) { o.MinorUnits = -1 }, Warning, "settings_cents", []string{"amount is bigint", "--amount-minor-units=2"}, ""},
		{"cents", "ALTER TABLE streaming.transactions ALTER amount TYPE bigint", func(o *DatabaseOptions) { o.MinorUnits = 2 }, OK, "postgres_columns", nil, ""},
		{"default for NULL", "ALTER TABLE streaming.transactions ALTER country SET DEFAULT 'NO'", func(o *DatabaseOptions) { o.AsksNull = []string{"country"} }, Warning, "postgres_columns_default", []string{"column country", "replace.null.with.default=false"}, ""},
		{"default for NULL that no rule asks for", "ALTER TABLE streaming.transactions ALTER country SET DEFAULT 'NO'", nil, Warning, "postgres_columns_default", []string{"column country may be NULL", "default NO", "replace.null.with.default=false", "--connect-url"}, ""},
		{"default for no amount", "ALTER TABLE streaming.transactions ALTER amount DROP NOT NULL, ALTER amount SET DEFAULT 0", nil, Warning, "postgres_columns_default", []string{"column amount may be NULL", "default 0"}, ""},
		{"default for NULL, told", "ALTER TABLE streaming.transactions ALTER country SET DEFAULT 'NO'", func(o *DatabaseOptions) { o.AsksNull, o.Nulls = []string{"country"}, NullsReplaced }, Error, "connect_settings_null", []string{"default NO", "replace.null.with.default=false"}, ""},
		{"default for NULL, read", "ALTER TABLE streaming.transactions ALTER country SET DEFAULT 'NO'", func(o *DatabaseOptions) { o.Nulls = NullsReplaced }, Warning, "connect_settings_null_read", []string{"column country"}, ""},
		{"default for NULL, kept", "ALTER TABLE streaming.transactions ALTER country SET DEFAULT 'NO'", func(o *DatabaseOptions) { o.AsksNull, o.Nulls = []string{"country"}, NullsKept }, OK, "postgres_columns", nil, ""},
		{"deferrable key", "ALTER TABLE streaming.transactions DROP CONSTRAINT transactions_pkey, ADD PRIMARY KEY (id) DEFERRABLE", nil, Warning, "postgres_primary_key_deferrable", []string{"NOT DEFERRABLE"}, ""},
		{"identity without the key", "ALTER TABLE streaming.transactions ADD other bigint NOT NULL UNIQUE; ALTER TABLE streaming.transactions REPLICA IDENTITY USING INDEX transactions_other_key", nil, Warning, "postgres_replica_identity_key", []string{"does not hold the primary key"}, ""},
		{"not published any more", "ALTER PUBLICATION app DROP TABLE streaming.transactions", func(o *DatabaseOptions) { o.Streamed = true }, Warning, "postgres_publication_gone", []string{"has records", "replaced"}, ""},
		{"not published any more, and the publication is ours", "ALTER PUBLICATION app DROP TABLE streaming.transactions", func(o *DatabaseOptions) { o.Streamed, o.Publication = true, "app" }, Warning, "postgres_publication_gone", []string{`ALTER PUBLICATION "app" ADD TABLE "streaming"."transactions"`}, ""},
		{"our publication is gone", "DROP PUBLICATION app", func(o *DatabaseOptions) { o.Streamed, o.Publication = true, "app" }, Warning, "postgres_publication_gone", []string{`CREATE PUBLICATION "app" FOR TABLE "streaming"."transactions"`}, ""},
		{"no publication is named or there", "DROP PUBLICATION app", func(o *DatabaseOptions) { o.Streamed = true }, Warning, "postgres_publication_gone", []string{`the publication that feeds the source topic`, "--publication"}, ""},
		{"our publication is another's", "DROP PUBLICATION app; CREATE TABLE streaming.other (id int); CREATE PUBLICATION app FOR TABLE streaming.other", func(o *DatabaseOptions) { o.Publication = "app" }, Note, "postgres_publication_none", []string{`ALTER PUBLICATION "app" ADD TABLE "streaming"."transactions"`}, ""},
		{"our publication without deletes", "ALTER PUBLICATION app SET (publish = 'insert, update')", func(o *DatabaseOptions) { o.Publication = "app" }, Error, "postgres_publication_partial", []string{"leaves out delete, truncate"}, ""},
		{"our publication without truncate", "ALTER PUBLICATION app SET (publish = 'insert, update, delete')", func(o *DatabaseOptions) { o.Publication = "app" }, Warning, "postgres_publication_maybe_partial", []string{"leaves out truncate"}, ""},
		{"our publication without a column", `ALTER PUBLICATION app SET TABLE streaming.transactions (id, user_id, "timestamp", country, risky)`, func(o *DatabaseOptions) { o.Publication = "app" }, Error, "postgres_publication_columns", []string{"leaves out column amount"}, ""},
		{"our slot is not there", "", func(o *DatabaseOptions) { o.Slot = "ours" }, Warning, "postgres_slot_missing", []string{`"ours"`}, ""},
		{"our slot is not read", createSlot, func(o *DatabaseOptions) { o.Slot = "app" }, Warning, "postgres_slot_unread", []string{"nothing reads slot app"}, ""},
		{"nothing bounds a slot", createSlot, nil, Note, "postgres_replication_disk", []string{"max_slot_wal_keep_size"}, ""},
		{"no slot", "", nil, Note, "postgres_slot", []string{"no logical replication slot"}, ""},
		{"slot that nobody reads", createSlot, nil, Note, "postgres_slot", []string{"nothing reads it", "--slot"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, run := newDatabase(t)
			if c.sql != "" {
				run(c.sql)
			}
			if c.with != nil {
				c.with(&o)
			}
			findings, _ := Database(t.Context(), o)
			if c.sql == createSlot {
				run("SELECT pg_drop_replication_slot(current_database())")
			}
			expectFinding(t, findings, c.level, c.check, c.words...)
			for _, check := range strings.Fields(all) {
				if check != subject(c.check) && !strings.Contains(c.also, check) {
					quietOn(t, findings, check)
				}
			}
		})
	}
}

func TestDatabaseRights(t *testing.T) {
	o, run := newDatabase(t)
	run(`DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN`)
	admin := o.URL
	o.URL = strings.Replace(admin, embedded.Superuser+"@", "reader@", 1)
	if o.URL == admin {
		t.Fatalf("no user to replace in %s", admin)
	}
	findings, _ := Database(t.Context(), o)
	expectFinding(t, findings, Error, "postgres_select", `may not use the schema`,
		`GRANT USAGE ON SCHEMA "streaming" TO "reader"`)
	expectFinding(t, findings, Error, "postgres_select", "may not read columns amount, country, id, risky, "+
		"timestamp, user_id", `GRANT SELECT ON "streaming"."transactions" TO "reader"`)
	if err := Err(findings); brimline.ExitCode(err) != int(brimline.ClassEnvironment) ||
		!strings.Contains(err.Error(), "2 problems") {
		t.Errorf("%v", err)
	}

	o.Unverified = true // no total is asked for, and the catalog is open to all
	findings, catalog := Database(t.Context(), o)
	if err := Err(findings); err != nil || catalog == nil {
		t.Errorf("%v, catalog %v", err, catalog)
	}
	o.Unverified = false

	run(`GRANT USAGE ON SCHEMA streaming TO reader;
		GRANT SELECT (id, user_id, amount, "timestamp", country) ON streaming.transactions TO reader`)
	expectFinding(t, look(t, o), Error, "postgres_select", "may not read column risky")
	run(`GRANT SELECT (risky) ON streaming.transactions TO reader`)
	findings, _ = Database(t.Context(), o)
	quietOn(t, findings, "postgres_select", "postgres_row_security", "postgres_replication_right")
	expectFinding(t, findings, OK, "postgres_select")

	o.Capture = true
	expectFinding(t, look(t, o), Error, "postgres_replication_right", `ALTER ROLE "reader" REPLICATION`)
	run(`ALTER ROLE reader REPLICATION`)
	quietOn(t, look(t, o), "postgres_replication_right")

	run(`ALTER TABLE streaming.transactions ENABLE ROW LEVEL SECURITY`)
	expectFinding(t, look(t, o), Error, "postgres_row_security", "BYPASSRLS")
	o.Unverified = true
	quietOn(t, look(t, o), "postgres_row_security")
	o.Unverified = false
	run(`ALTER ROLE reader BYPASSRLS`)
	quietOn(t, look(t, o), "postgres_row_security")
	run(`DROP OWNED BY reader; DROP ROLE reader`)
}

func TestDatabasePartitioned(t *testing.T) {
	o, run := newDatabase(t)
	run(`CREATE TABLE streaming.parted (id bigint, user_id bigint NOT NULL, amount numeric(12,2) NOT NULL,
		"timestamp" timestamptz NOT NULL, country text, risky boolean,
		PRIMARY KEY (id, "timestamp")) PARTITION BY RANGE ("timestamp");
		CREATE TABLE streaming.parted_1 PARTITION OF streaming.parted DEFAULT;
		ALTER TABLE streaming.parted REPLICA IDENTITY FULL; ALTER TABLE streaming.parted_1 REPLICA IDENTITY FULL;
		CREATE PUBLICATION parted FOR TABLE streaming.parted`)
	o.Table, o.ID, o.Publication = "streaming.parted", []string{"id", "timestamp"}, "parted"
	findings, _ := Database(t.Context(), o)
	expectFinding(t, findings, Warning, "postgres_publication", "names the partitions", "publish_via_partition_root")
	expectFinding(t, findings, Warning, "postgres_index", `CREATE INDEX ON "streaming"."parted"`)
	unpublished := o
	unpublished.Publication = "none"
	findings, _ = Database(t.Context(), unpublished)
	expectFinding(t, findings, Note, "postgres_publication_none",
		`CREATE PUBLICATION "none" FOR TABLE "streaming"."parted" WITH (publish_via_partition_root = true)`)
	run(`ALTER PUBLICATION parted SET (publish_via_partition_root = true);
		CREATE INDEX ON streaming.parted (user_id, "timestamp")`)
	quietOn(t, look(t, o), "postgres_publication", "postgres_index", "postgres_primary_key")
}

func TestDatabaseSlotBeingRead(t *testing.T) {
	o, run := newDatabase(t)
	run(createSlot)
	defer run(`DO $$ BEGIN -- its reader may take a moment to end
			WHILE EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = current_database() AND active) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		END $$; SELECT pg_drop_replication_slot(current_database())`)
	o.Slot = "app"
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["replication"] = "database"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const start = `START_REPLICATION SLOT app LOGICAL 0/0 (proto_version '1', publication_names 'app')`
	conn.PgConn().Frontend().SendQuery(&pgproto3.Query{String: start})
	if err := conn.PgConn().Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.PgConn().ReceiveMessage(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectFinding(t, look(t, o), OK, "postgres_slot", "is being read")
}

func TestDatabaseCannotConnect(t *testing.T) {
	o, _ := newDatabase(t)
	good := o.URL
	o.URL = strings.Replace(good, embedded.Superuser+"@", "nobody:secret@", 1)
	findings, _ := Database(t.Context(), o)
	expectFinding(t, findings, Error, "postgres_connection_login", `"nobody"`, "--database-url")
	if strings.Contains(fmt.Sprint(findings), "secret") {
		t.Errorf("the password is shown: %+v", findings)
	}

	o.URL = strings.Replace(good, "/app", "/nowhere", 1)
	expectFinding(t, look(t, o), Error, "postgres_connection_database", "nowhere")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	o.URL = "postgres://u:secret@" + l.Addr().String() + "/app"
	findings, _ = Database(t.Context(), o)
	expectFinding(t, findings, Error, "postgres_connection", "cannot reach PostgreSQL at "+l.Addr().String(), "refused")
	if e := Err(findings); !strings.Contains(e.Error(), "remedy: check that PostgreSQL runs") {
		t.Error(e)
	}
	o.Spared = true
	expectFinding(t, look(t, o), Warning, "postgres_connection_away", "cannot reach PostgreSQL at "+l.Addr().String())
	o.Spared = false

	o.URL = good + map[bool]string{true: "&", false: "?"}[strings.Contains(good, "?")] + "sslmode=require"
	o.URL = strings.Replace(o.URL, "sslmode=disable&", "", 1)
	expectFinding(t, look(t, o), Error, "postgres_connection_tls", "sslmode")

	o.URL = "postgres://u:secret@host:port/app"
	o.Spared = true // a setting stays wrong
	findings, _ = Database(t.Context(), o)
	expectFinding(t, findings, Error, "postgres_connection_url")
	if strings.Contains(fmt.Sprint(findings), "secret") {
		t.Errorf("the password is shown: %+v", findings)
	}
	if code := brimline.ExitCode(Err(findings)); code != int(brimline.ClassInput) {
		t.Errorf("exit code %d", code)
	}
	o.URL = "secret" // a password where the URL belongs
	if findings, _ = Database(t.Context(), o); strings.Contains(fmt.Sprint(findings), "secret") {
		t.Errorf("the password is shown: %+v", findings)
	}
}

// TestCatalog: what the catalog says of every kind of column, as the decoder wants it.
func TestCatalog(t *testing.T) {
	o, run := newDatabase(t)
	run(`CREATE DOMAIN streaming.truth AS boolean; CREATE DOMAIN streaming.flag AS streaming.truth NOT NULL DEFAULT false;
		CREATE DOMAIN streaming.eur AS numeric(12,3); CREATE DOMAIN streaming.at AS timestamp(3);
		CREATE TYPE streaming.state AS ENUM ('open', 'it''s');
		CREATE TABLE streaming.kinds (id bigint PRIMARY KEY, n2 numeric(12,2) DEFAULT 0,
			n4 numeric(14,-2) NOT NULL DEFAULT -100,
			n numeric, t3 timestamp(3) DEFAULT '2020-01-01', t timestamp DEFAULT now(),
				z0 timestamptz(0) DEFAULT '2020-01-01 01:00+01',
			d date DEFAULT '2020-01-01', money streaming.eur DEFAULT 1.5, at streaming.at, flag streaming.flag,
				state streaming.state DEFAULT 'it''s',
			list text[], c char(3) DEFAULT 'NO', v varchar(9) DEFAULT 'it''s', none text DEFAULT NULL, w text DEFAULT upper('x'),
			g numeric GENERATED ALWAYS AS (n2 * 2) STORED, i int GENERATED ALWAYS AS IDENTITY)`)
	o.Table = "streaming.kinds"
	c, err := ReadCatalog(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"id": "int8 NOT NULL", "n2": "numeric(…,2) DEFAULT '0.00'", "n4": "numeric(…,-2) DEFAULT '-100' NOT NULL", "n": "numeric",
		"t3": "timestamp(3) DEFAULT '2020-01-01 00:00:00'", "t": "timestamp(6)", "z0": "timestamptz(0) DEFAULT '2020-01-01 00:00:00+00'",
		"d": "date DEFAULT '2020-01-01'", "money": "numeric(…,3) DEFAULT '1.500'", "at": "timestamp(3)", "flag": "bool DEFAULT 'false' NOT NULL",
		"state": "enum DEFAULT 'it's'", "list": "_text", "c": "bpchar DEFAULT 'NO'", "v": "varchar DEFAULT 'it's'", "none": "text",
		"w": "text", "g": "numeric", "i": "int4 NOT NULL",
	} {
		if got := c.Columns[name].ColumnFacts.String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if generated := name == "g"; c.Columns[name].Generated != generated {
			t.Errorf("%s: generated %v", name, c.Columns[name].Generated)
		}
	}
	if i := c.Identity; !i.Known || i.Full || !slices.Equal(i.Columns, []string{"id"}) {
		t.Errorf("identity %+v", i)
	}
	for _, step := range []struct{ sql, want string }{
		{"REPLICA IDENTITY FULL", "true []"}, {"REPLICA IDENTITY NOTHING", "false []"},
		{"ADD CONSTRAINT two UNIQUE (i, id)", "false []"}, {"REPLICA IDENTITY USING INDEX two", "false [id i]"},
	} {
		run("ALTER TABLE streaming.kinds " + step.sql)
		if c, err = ReadCatalog(t.Context(), o); err != nil || fmt.Sprint(c.Identity.Full, c.Identity.Columns) != step.want {
			t.Errorf("%s: %+v, %v", step.sql, c.Identity, err)
		}
	}
	o.Table = "streaming.none"
	if c, err = ReadCatalog(t.Context(), o); c != nil || err != nil {
		t.Errorf("no table: %+v, %v", c, err)
	}
}
