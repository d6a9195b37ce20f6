package security

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline/internal/testkit"
)

// TestPostgresRights: the statements of docs/security.md suffice, and give no more.
func TestPostgresRights(t *testing.T) {
	t.Parallel()
	s := newStrict(t)
	blocks := statements(t, "Rights in PostgreSQL")
	if len(blocks) != 2 {
		t.Fatalf("%d SQL blocks", len(blocks))
	}
	for _, sql := range blocks {
		s.exec(t, sql)
	}
	s.exec(t, "ALTER ROLE brimline_reader PASSWORD '"+canary+"'; ALTER ROLE brimline_capture PASSWORD '"+canary+"'")
	s.exec(t, `INSERT INTO streaming.transactions
		VALUES (1, 7, 60, '2026-01-01', 'secret'), (2, 7, 60, '2026-01-02', 'secret')`)

	addr := broker(t)
	rules := write(t, "rules.yaml", "rules: [{id: r, window: 7d, limit: 100}]")
	root := "sslrootcert=" + s.ca.file
	reader := []string{"BRIMLINE_DATABASE_URL=" + s.url("brimline_reader", canary,
		"127.0.0.1", "sslmode=verify-full", root)}
	writer := []string{"BRIMLINE_DATABASE_URL=" + s.url("brimline_capture", canary,
		"127.0.0.1", "sslmode=verify-full", root)}

	capture := testkit.Start(t, binary, append(clean(t.TempDir()), writer...), "capture", "--brokers", addr)
	kafka, err := testkit.Connected([]string{addr}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := kafka.WaitRecords(t.Context(), source, 2); err != nil {
		t.Fatalf("%v\n%s", err, capture.Output())
	}
	// limit with where asks for rows, without for sums: both are asked.
	run := brimline(t, reader, "run", "--brokers", addr, "--listen", "off", "--until-caught-up", "--rules", rules)
	alerts := brimline(t, nil, "alerts", "--brokers", addr)
	doctor := brimline(t, reader, "doctor", "--brokers", addr, "--rules", rules)
	if run.code != 0 || alerts.code != 0 || doctor.code != 0 || !strings.Contains(alerts.out, "ALERT user 7 $120.00") ||
		!strings.Contains(alerts.out, "verified") {
		t.Errorf("run %d, alerts %d, doctor %d\n%s%s%s", run.code, alerts.code, doctor.code,
			run.all(), alerts.all(), doctor.all())
	}
	for _, said := range []said{run, alerts, doctor, {out: capture.Output()}} {
		hides(t, said)
	}

	conn := testkit.Connect(t, s.url("brimline_reader", canary, "127.0.0.1", "sslmode=verify-full", root))
	for _, sql := range []string{
		"SELECT description FROM streaming.transactions", "SELECT * FROM streaming.transactions",
		"INSERT INTO streaming.transactions (id) VALUES (3)", "UPDATE streaming.transactions SET amount = 0", "DELETE FROM streaming.transactions",
		"TRUNCATE streaming.transactions", "DROP TABLE streaming.transactions", "CREATE TABLE streaming.mine ()", "CREATE SCHEMA mine", "ALTER TABLE streaming.transactions REPLICA IDENTITY DEFAULT",
	} {
		_, err := conn.Exec(t.Context(), sql)
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}

	// One right less is an error that says how to give it back.
	s.exec(t, "REVOKE SELECT (amount) ON streaming.transactions FROM brimline_reader")
	brimline(t, reader, "run", "--brokers", addr, "--listen", "off", "--until-caught-up",
		"--rules", rules).fails(t, 3, "GRANT SELECT")
	s.exec(t, "REVOKE USAGE ON SCHEMA streaming FROM brimline_reader")
	brimline(t, reader, "run", "--brokers", addr, "--listen", "off", "--until-caught-up",
		"--rules", rules).fails(t, 3, "GRANT USAGE")
}

// acls are the rows of docs/security.md.
func acls(t *testing.T) (list []kfake.ACL) {
	t.Helper()
	for _, row := range rows(t, "Rights in Kafka") {
		for _, operation := range strings.Split(row[2], ", ") {
			a := kfake.ACL{Name: row[1], Pattern: literal, Allow: true}
			if prefix, ok := strings.CutSuffix(row[1], "*"); ok {
				a.Name, a.Pattern = prefix, prefixed
			}
			switch row[0] {
			case "topic":
				a.Resource = aTopic
			case "group":
				a.Resource = aGroup
			case "transactional id":
				a.Resource = aTransactionalID
			default:
				t.Fatalf("docs/security.md: resource %q is not known here", row[0])
			}
			switch operation {
			case "Read":
				a.Operation = read
			case "Write":
				a.Operation = 4
			case "Create":
				a.Operation = 5
			case "Describe":
				a.Operation = 8
			case "DescribeConfigs":
				a.Operation = 10
			default:
				t.Fatalf("docs/security.md: operation %q is not known here", operation)
			}
			list = append(list, a)
		}
	}
	return list
}

// Codes of the Kafka protocol.
const (
	literal, prefixed                = 3, 4
	aTopic, aGroup, aTransactionalID = 2, 3, 5
	read, mayWrite                   = 3, 4
)

// TestKafkaRights: the rights of docs/security.md suffice, and each right less is a clear error.
func TestKafkaRights(t *testing.T) {
	t.Parallel()
	all := acls(t)
	with := func(t *testing.T, list []kfake.ACL) said {
		addr := broker(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "admin"),
			kfake.User("PLAIN", "brimline", canary, list...))
		return pass(t, addr, secret(canary), "--kafka-sasl-mechanism", "PLAIN", "--kafka-sasl-user", "brimline")
	}
	if s := with(t, all); s.code != 0 {
		t.Fatalf("with all of them: code %d\n%s", s.code, s.err)
	}
	for what, leave := range map[string]func(kfake.ACL) bool{
		"the source": func(a kfake.ACL) bool { return a.Name == source },
		"our topics": func(a kfake.ACL) bool { return a.Resource == aTopic && a.Pattern == prefixed },
		"the groups": func(a kfake.ACL) bool { return a.Resource == aGroup },
		"the alerts": func(a kfake.ACL) bool { return a.Name == "alerts" },
	} {
		t.Run("without "+what, func(t *testing.T) {
			t.Parallel()
			fewer := slices.DeleteFunc(slices.Clone(all), leave)
			s := with(t, fewer)
			s.fails(t, 3, "uthoriz")
			hides(t, s)
		})
	}
}

// TestRightsToForget: what docs/security.md says of forget and distrust suffices, and is not too much.
func TestRightsToForget(t *testing.T) {
	t.Parallel()
	const describe, describeConfigs = 8, 10
	of := func(resource, pattern int, name string, operations ...int) (list []kfake.ACL) {
		for _, o := range operations {
			list = append(list, kfake.ACL{Name: name, Resource: kmsg.ACLResourceType(resource),
				Pattern: kmsg.ACLResourcePatternType(pattern), Operation: kmsg.ACLOperation(o), Allow: true})
		}
		return list
	}
	looks := slices.Concat(
		of(aTopic, prefixed, "brimline-", read, describe), of(aGroup, prefixed, "brimline-", read, describe),
		of(aTopic, literal, source, read, describe), of(aTopic, literal, "alerts", read, describe))
	settings := slices.Concat(
		of(aTopic, prefixed, "brimline-", describeConfigs), of(aTopic, literal, source, describeConfigs),
		of(aTopic, literal, "alerts", describeConfigs))
	changes := of(aTopic, literal, "brimline-changes", mayWrite)
	loop := of(aTopic, literal, "brimline-index-loop", mayWrite)
	addr := broker(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "admin"),
		kfake.User("PLAIN", "brimline", canary, acls(t)...),
		kfake.User("PLAIN", "eraser", canary, slices.Concat(looks, settings, changes, loop)...),
		kfake.User("PLAIN", "blind", canary, slices.Concat(looks, changes, loop)...),
		kfake.User("PLAIN", "half", canary, slices.Concat(looks, changes)...),
		kfake.User("PLAIN", "reader", canary, looks...))
	login := []string{"--kafka-sasl-mechanism", "PLAIN", "--kafka-sasl-user"}
	if s := pass(t, addr, secret(canary), append(slices.Clone(login), "brimline")...); s.code != 0 {
		t.Fatal(s.err)
	}
	as := func(user string, args ...string) said {
		all := slices.Concat(args, []string{"--unknown", "--brokers", addr}, login, []string{user})
		return brimline(t, secret(canary), all...)
	}
	for _, user := range []string{"eraser", "blind"} {
		if s := as(user, "forget", "7", "--yes"); s.code != 0 || strings.Contains(s.out, "not known") != (user == "blind") {
			t.Errorf("%s: code %d\n%s", user, s.code, s.all())
		}
	}
	if s := as("half", "distrust", "7"); s.code != 0 {
		t.Errorf("distrust: code %d\n%s", s.code, s.all())
	}
	as("half", "forget", "7", "--yes").fails(t, 3, "uthoriz")
	as("reader", "forget", "7", "--yes").fails(t, 3, "uthoriz")
	as("reader", "distrust", "7").fails(t, 3, "uthoriz")
}
