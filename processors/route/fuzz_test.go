package route

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
)

// FuzzRoute takes any record from its bytes to changes or a dead letter: nothing panics, what comes of it fits a record
// of any topic, and it costs no more memory than 4 times the record, beside what a small record costs.
func FuzzRoute(f *testing.F) {
	files, err := filepath.Glob("../../testdata/wire/deadletter-v1/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`{"id":1}`), b, []byte("h"), uint16(1), uint16(1))
	}
	f.Add([]byte(`{"id":1}`), event("c", "null", row("a", "1.00", "<<<<")), []byte{}, uint16(0), uint16(0))
	f.Add(
		[]byte(`{"id":1}`),
		event("u", row("a", "1.00", ""), row("b", "2.00", "\xff")),
		[]byte("\xff"),
		uint16(50_000),
		uint16(0),
	)
	f.Add([]byte("x"), []byte(`{"op":`), []byte("h"), uint16(3), uint16(50_000))
	f.Add([]byte("x"), []byte("[[[[[[[["), []byte("h"), uint16(0), uint16(60_000))
	d, err := debezium.New(debezium.Options{
		Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp", Scale: 2,
		Columns: []brimline.Column{{Name: "note", Type: brimline.Text}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, value, header []byte, headers, times uint16) {
		// A fuzzer's records are short: repeated, they are as long as brokers take.
		repeated := 1 + int(times)%(1+(1<<20)/(1+len(value)))
		value = []byte(strings.Repeat(string(value), repeated))
		all := goka.Headers{}
		for i := range int(headers) {
			all[string(header)+string(rune(i))] = header
		}
		r := record{source: source, key: key, value: value, headers: func() goka.Headers { return all }}
		const small = 1 << 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out := route(d, 1, r)
		runtime.ReadMemStats(&after)
		size := len(key) + len(value) + int(headers)*(2*len(header)+64)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(small+4*size) {
			t.Errorf("a record of %d bytes took %d", size, took)
		}
		for i := range out.changes {
			b, err := codecs.Change{}.Encode(&out.changes[i])
			if err != nil || len(b) > codecs.LeastRecord {
				t.Errorf("a change of %d bytes, %v", len(b), err)
			}
		}
		if out.dead == nil {
			return
		}
		codecs.FitDeadLetter(out.dead, codecs.LeastRecord)
		b, err := codecs.DeadLetter{}.Encode(out.dead)
		if err != nil || len(b) > codecs.LeastRecord {
			t.Errorf("a dead letter of %d bytes, %v", len(b), err)
		}
	})
}
