package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestLiveScripts runs testdata/script/live against an in-process broker, and
// a PostgreSQL that accepts no password.
func TestLiveScripts(t *testing.T) {
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script/live",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BRIMLINE_BROKERS", strings.Join(broker.Addrs(), ","))
			env.Setenv("BRIMLINE_LISTEN", "off")
			env.Setenv("STRICT", strictPostgres(t))
			env.Setenv("FREE", closedPort(t)) // addresses at which a script may listen
			env.Setenv("FREE2", closedPort(t))
			env.Setenv("LONG", strings.Repeat("x", 1025)) // an id that no row can have
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "produce": produce, "crossings": crossings, "until": until,
		},
	})
}

// produce TOPIC FILE: each line of the file is a record, its key in front of a
// bar. The topic is created with one partition.
func produce(ts *testscript.TestScript, _ bool, args []string) {
	c := config.Default()
	c.Brokers = strings.Split(ts.Getenv("BRIMLINE_BROKERS"), ",")
	ts.Check(app.EnsureSource(context.Background(), &c.Kafka, &config.Topics{Partitions: 1}, args[0]))
	to := app.NewRetry(app.KafkaOptions(&c.Kafka, "test"))
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		ts.Check(to.Send(&brimline.DeadLetter{Topic: args[0], Key: []byte(key), Value: []byte(value)}))
	}
	ts.Check(to.Close())
}

// crossings TOPIC N: one row each of N users, u1 and so on, over a limit of 1000.
func crossings(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var records strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&records, `{"id":%d}|{"before":null,"after":{"id":%[1]d,"user_id":"u%[1]d","amount":"1000.01",`+
			`"timestamp":"2026-01-01T00:00:00.000000Z"},"op":"c","source":{"schema":"streaming","table":"transactions"}}`+"\n", i)
	}
	file := ts.MkAbs("crossings")
	ts.Check(os.WriteFile(file, []byte(records.String()), 0o600))
	produce(ts, false, []string{args[0], file})
}

// until REGEXP COMMAND ARG…: runs the command again and again until its output matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	deadline := time.Now().Add(time.Minute)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if want.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v; %q is still not in\n%s", strings.Join(args[1:], " "), err, args[0], out)
		}
	}
}

// strictPostgres answers every login as PostgreSQL does when the password is wrong.
func strictPostgres(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go refuse(conn)
		}
	}()
	return l.Addr().String()
}

func refuse(conn net.Conn) {
	defer conn.Close()
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:]))-4); err != nil {
		return
	}
	fields := "SFATAL\x00VFATAL\x00C28P01\x00Mpassword authentication failed for user \"me\"\x00\x00"
	_, _ = conn.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(fields)+4)), fields...))
}
