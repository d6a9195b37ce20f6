package crash

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline/internal/testkit"
)

// script runs one of deploy/stack's scripts.
func (r *round) script(name string, env []string, args ...string) {
	r.Helper()
	if _, err := r.g.Script(name, env, args...); err != nil {
		r.Fatal(err)
	}
}

// again starts a part of the stack, trying until it succeeds.
func (r *round) again(part string) {
	r.Helper()
	ctx, cancel := r.bounded()
	defer cancel()
	if err := testkit.Eventually(ctx, func() (bool, error) {
		_, err := r.g.Script("up.sh", nil, part)
		return err == nil, err
	}); err != nil {
		r.Fatal(err)
	}
}

func (r *round) admin(sql ...string) {
	r.Helper()
	conn, err := pgx.Connect(r.Context(), r.adminURL())
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close(r.Context())
	for _, s := range sql {
		if _, err := conn.Exec(r.Context(), s); err != nil {
			r.Fatalf("%s: %v", s, err)
		}
	}
}

func databaseFaults() []fault {
	return []fault{
		{name: "postgres-killed", do: func(r *round) {
			for range 2 {
				r.script("down.sh", []string{"SIGNAL=KILL"}, "postgres")
				r.again("postgres") // its children hold on to the shared memory for a moment
				r.do("PostgreSQL killed and started")
				r.while(3 * time.Second)
			}
		}},
		{name: "postgres-away", short: true, load: 75 * time.Second, do: func(r *round) {
			away := 20 * time.Second
			if os.Getenv("BRIMLINE_CRASH_FAULTS") != "" {
				away = time.Minute
			}
			r.script("down.sh", nil, "postgres")
			r.while(away / 2)
			r.any().kill() // whoever takes over waits as well
			r.while(away / 2)
			r.script("up.sh", nil, "postgres")
			r.do("PostgreSQL away for %v, kill -9 of an instance meanwhile", away)
		}},
		{name: "postgres-resets", do: func(r *round) {
			r.proxy.Set(testkit.Weather{Reset: 0.5})
			r.while(15 * time.Second)
			r.proxy.Set(testkit.Weather{})
			r.do("every other request to PostgreSQL ended by a reset for 15 s")
		}},
		{name: "postgres-slow", load: 30 * time.Second, do: func(r *round) {
			r.proxy.Set(testkit.Weather{Delay: time.Second})
			r.while(20 * time.Second)
			r.proxy.Set(testkit.Weather{})
			r.do("every answer of PostgreSQL 2 s late for 20 s")
		}},
		{name: "postgres-silent", load: 35 * time.Second, do: func(r *round) {
			r.proxy.Set(testkit.Weather{NoRequests: true})
			r.while(20 * time.Second)
			r.any().kill()
			r.while(5 * time.Second)
			r.proxy.Set(testkit.Weather{})
			r.do("connections to PostgreSQL open and silent for 25 s, kill -9 of an instance meanwhile")
		}},
		{name: "postgres-full", do: fillConnections},
		{name: "postgres-revoked", do: func(r *round) {
			r.admin(`REVOKE SELECT ON streaming.transactions FROM brimline`)
			r.while(10 * time.Second)
			r.admin(`GRANT SELECT ON streaming.transactions TO brimline`)
			r.do("the right to read the table revoked for 10 s")
		}},
	}
}

// fillConnections takes every connection that PostgreSQL has, those of the program too.
func fillConnections(r *round) {
	var held []*pgx.Conn
	for {
		conn, err := pgx.Connect(r.Context(), strings.Replace(r.g.Env["DATABASE_URL"], "/app?", "/"+r.database+"?", 1))
		if err != nil {
			break
		}
		held = append(held, conn)
	}
	r.admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'brimline'`)
	for range 20 { // what has become free
		if conn, err := pgx.Connect(r.Context(), strings.Replace(r.g.Env["DATABASE_URL"], "/app?",
			"/"+r.database+"?", 1)); err == nil {
			held = append(held, conn)
		}
	}
	r.while(12 * time.Second)
	for _, c := range held {
		c.Close(r.Context())
	}
	r.do("PostgreSQL at its limit of connections for 12 s (%d held)", len(held))
}

func stateFaults() []fault {
	return []fault{
		{name: "state-wiped", do: func(r *round) {
			for range 3 {
				i := r.any()
				i.down()
				r.must(os.RemoveAll(i.dir))
				i.start()
				r.do("local state of a killed instance deleted")
				r.while(r.between(3*time.Second, 6*time.Second))
			}
		}},
		{name: "state-stale", short: true, do: func(r *round) {
			i := r.any()
			i.down()
			old := filepath.Join(r.dir, "old")
			r.must(os.CopyFS(old, os.DirFS(i.dir)))
			i.start()
			for range 2 {
				r.while(r.between(6*time.Second, 9*time.Second))
				i.down()
				r.must(errors.Join(os.RemoveAll(i.dir), os.CopyFS(i.dir, os.DirFS(old))))
				i.start()
				r.do("an old copy of an instance's local state put back")
			}
			r.while(3 * time.Second)
		}},
		{name: "state-damaged", short: true, do: func(r *round) {
			for range 4 {
				i := r.any()
				i.down()
				r.Logf("%d files damaged", damage(r, i.dir))
				r.do("a third of the files of a killed instance's LevelDB overwritten in places")
				i.start()
				r.while(r.between(3*time.Second, 6*time.Second))
			}
		}},
		{name: "disk-full", load: 40 * time.Second, do: fillDisk},
		{name: "compaction", load: 30 * time.Second, do: compactTables},
	}
}

func (r *round) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// damage overwrites bytes in a third of LevelDB's files.
func damage(r *round, dir string) (files int) {
	r.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) != "db" || d.Name() == "LOCK" ||
			d.Name() == "LOG" ||
			r.r.IntN(3) != 0 {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		for range 1 + r.r.IntN(3) {
			at := r.r.IntN(len(b))
			for n := at; n < min(len(b), at+1+r.r.IntN(64)); n++ {
				b[n] = byte(rand.Uint32())
			}
		}
		files++
		return os.WriteFile(path, b, 0o600)
	}))
	return files
}

// fillDisk gives an instance a small disk and fills it.
func fillDisk(r *round) {
	i := r.any()
	i.down()
	r.must(errors.Join(os.RemoveAll(i.dir), os.Mkdir(i.dir, 0o700)))
	if err := mountSmall(i.dir); err != nil {
		close(r.hurry)
		r.Skipf("a disk of its own for the state directory: %v", err)
	}
	r.Cleanup(func() {
		i.down()
		unmount(i.dir)
	})
	i.start()
	r.while(6 * time.Second)
	for range 2 {
		filler := filepath.Join(i.dir, "filler")
		f, err := os.Create(filler)
		r.must(err)
		block, size := make([]byte, 4096), 0
		for {
			n, err := f.Write(block)
			if size += n; err != nil {
				break
			}
		}
		f.Close()
		r.while(8 * time.Second)
		r.must(os.Remove(filler))
		r.do("no space left in a state directory for 8 s")
		r.while(4 * time.Second)
	}
}

// compactTables lets the brokers compact the tables at once, while instances are killed.
func compactTables(r *round) {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.g.Brokers...))
	r.must(err)
	defer client.Close()
	admin := kadm.NewClient(client)
	set := func(name, value string) kadm.AlterConfig { return kadm.AlterConfig{Name: name, Value: &value} }
	responses, err := admin.AlterBrokerConfigs(r.Context(), []kadm.AlterConfig{set("log.cleaner.backoff.ms", "200")})
	r.must(err)
	for _, response := range responses {
		r.must(response.Err)
	}
	responses, err = admin.AlterTopicConfigs(r.Context(), []kadm.AlterConfig{
		set(
			"segment.ms",
			"1000",
		), set("min.cleanable.dirty.ratio", "0.01"), set("min.compaction.lag.ms", "0"), set("delete.retention.ms", "100"),
	}, r.names.WindowTable, r.names.IndexTable)
	r.must(err)
	for _, response := range responses {
		r.must(response.Err)
	}
	r.do("tables compacted every second")
	for n := range 5 {
		r.while(r.between(2*time.Second, 5*time.Second))
		i := r.any()
		i.down()
		if n%2 == 0 {
			r.must(os.RemoveAll(i.dir))
			r.do("kill -9 of an instance and its local state deleted")
		} else {
			r.do("kill -9 of an instance")
		}
		i.start()
	}
}

func brokerFaults() []fault {
	return []fault{
		{name: "broker-restart", do: func(r *round) {
			r.script("down.sh", nil, "kafka-1")
			r.script("up.sh", nil, "kafka")
			r.do("the only broker stopped and started")
			r.while(5 * time.Second)
		}},
		// Kafka does not keep its own promise here, see docs/guarantees.md.
		{name: "only-broker-killed", beyond: true, do: func(r *round) {
			r.script("down.sh", []string{"SIGNAL=KILL"}, "kafka-1")
			r.script("up.sh", nil, "kafka")
			r.do("the only broker killed and started")
			r.while(5 * time.Second)
		}},
		{name: "debezium", debezium: true, do: killDebezium},
		{name: "standby-behind", debezium: true, later: true, do: commitsWait},
		{name: "broker-killed", brokers: 3, load: 75 * time.Second, do: func(r *round) {
			for range 3 {
				name := fmt.Sprint("kafka-", 1+r.r.IntN(3))
				r.script("down.sh", []string{"SIGNAL=KILL"}, name)
				r.while(r.between(3*time.Second, 8*time.Second))
				r.script("up.sh", nil, name)
				r.do("one of three brokers killed and started")
				r.while(4 * time.Second)
			}
		}},
		{name: "leader-moved", brokers: 3, load: 30 * time.Second, do: moveLeaders},
		{name: "brokers-away", brokers: 3, load: 75 * time.Second, do: func(r *round) {
			r.script("down.sh", []string{"SIGNAL=KILL"}, "kafka")
			r.while(30 * time.Second)
			r.script("up.sh", nil, "kafka")
			r.do("all brokers killed, away for 30 s")
			r.while(5 * time.Second)
		}},
	}
}

// moveLeaders makes another replica of every partition its leader, again and again.
func moveLeaders(r *round) {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.g.Brokers...))
	r.must(err)
	defer client.Close()
	admin := kadm.NewClient(client)
	for range 4 {
		topics, err := admin.ListTopics(r.Context(), append(r.names.Owned(), r.names.Source, r.names.Alerts)...)
		r.must(err)
		var (
			moves      kadm.AlterPartitionAssignmentsReq
			partitions kadm.TopicsSet
		)
		for _, t := range topics {
			for _, p := range t.Partitions {
				if len(p.Replicas) == 3 {
					moves.Assign(t.Topic, p.Partition, append(append([]int32{}, p.Replicas[1:]...), p.Replicas[0]))
					partitions.Add(t.Topic, p.Partition)
				}
			}
		}
		_, err = admin.AlterPartitionAssignments(r.Context(), moves)
		r.must(err)
		_, err = admin.ElectLeaders(r.Context(), kadm.ElectPreferredReplica, partitions)
		r.must(err)
		r.do("the leaders of all partitions moved")
		r.while(r.between(2*time.Second, 5*time.Second))
	}
}

// commitsWait has commits wait for a synchronous standby that does not answer: they are in the log, and Debezium tells
// of them, while no session sees their rows. Instances are killed meanwhile. A wait ends when the standby is given up.
func commitsWait(r *round) {
	ctx, cancel := r.bounded()
	defer cancel()
	r.script("up.sh", nil, "connect")
	source := func(n int) {
		if err := r.g.WaitRecords(ctx, r.names.Source, int64(n)); err != nil {
			r.Fatalf("waiting for %d records of Debezium: %v", n, err)
		}
	}
	standby := func(name string) {
		r.admin(`ALTER SYSTEM SET synchronous_standby_names = '`+name+`'`, `SELECT pg_reload_conf()`)
	}
	defer standby("")
	table := testkit.OpenTable(r, r.adminURL(), "streaming", "transactions")
	done := r.rowCount - len(r.rowsLater)
	source(done)
	for rest := r.rowsLater; len(rest) > 0; {
		n := min(len(rest), max(1, len(r.rowsLater)/5))
		standby("away")
		r.awaitCommitsWait(ctx)
		written := make(chan error, 1)
		go func(rows []testkit.Row) { written <- table.TryInsert(ctx, rows) }(rest[:n])
		done += n
		source(done) // Debezium has told of all rows, and none is to be seen
		r.while(r.between(time.Second, 5*time.Second))
		r.any().kill()
		r.while(r.between(time.Second, 5*time.Second))
		select {
		case err := <-written:
			r.Fatalf("the commit did not wait: %v", err)
		default:
		}
		standby("")
		r.must(<-written)
		rest = rest[n:]
		r.do("a commit of %d rows waited for a standby, kill -9 of an instance meanwhile", n)
	}
}

// awaitCommitsWait returns when a commit waits for the standby: a setting is read by and by.
func (r *round) awaitCommitsWait(ctx context.Context) {
	r.Helper()
	r.must(testkit.Eventually(ctx, func() (bool, error) {
		conn, err := pgx.Connect(ctx, r.adminURL())
		if err != nil {
			return false, err
		}
		defer conn.Close(ctx)
		soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err = conn.Exec(soon, `SELECT pg_logical_emit_message(true, 'crash', 'waits')`)
		return soon.Err() != nil, err // a commit that is given up waits on
	}))
}

// killDebezium kills the connector in the middle of its work; it then delivers
// again what it had not noted as delivered.
func killDebezium(r *round) {
	ctx, cancel := r.bounded()
	defer cancel()
	up := func() chan error {
		done := make(chan error, 1)
		go func() {
			_, err := r.g.Script("up.sh", nil, "connect")
			done <- err
		}()
		return done
	}
	for n := range 3 {
		started := up()
		enough := int64(r.rowCount/2 + (n+1)*r.rowCount/8)
		if err := r.g.WaitRecords(ctx, r.names.Source, enough); err != nil {
			r.Fatalf("the connector did not deliver: %v", err)
		}
		r.script("down.sh", []string{"SIGNAL=KILL"}, "connect")
		<-started // it may have failed, for this reason
		r.do("Kafka Connect with Debezium killed and started")
	}
	r.must(<-up())
	if err := testkit.Eventually(ctx, func() (bool, error) {
		rows := map[string]bool{}
		for _, record := range r.g.Records(r, r.names.Source) {
			rows[string(record.Key)] = true
		}
		return len(rows) == r.rowCount, nil
	}); err != nil {
		r.Fatalf("the connector did not deliver every row: %v", err)
	}
}
