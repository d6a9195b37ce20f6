package capture

import (
	"encoding/binary"
	"strings"
	"testing"
)

// wireTuple is a tuple as pgoutput sends it.
func wireTuple(values ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
	for _, v := range values {
		b = append(binary.BigEndian.AppendUint32(append(b, 't'), uint32(len(v))), v...)
	}
	return b
}

func wireChange(kind byte, parts ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, 16384)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// BenchmarkDecode takes messages of pgoutput apart.
func BenchmarkDecode(b *testing.B) {
	row := string(wireTuple("123456", "4711", "-3441.50", "2026-02-01 00:00:01.5+00", "card payment", "EUR"))
	for _, c := range []struct {
		name    string
		message []byte
	}{
		{"insert", wireChange('I', "N", row)},
		{"update-full", wireChange('U', "O", row, "N", row)},
		{"insert-64KiB", wireChange('I', "N", string(wireTuple("1", strings.Repeat("x", 64<<10))))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.message)))
			for b.Loop() {
				m, err := parse(c.message)
				if err != nil {
					b.Fatal(err)
				}
				if _, ch := newChange(m); ch.after == nil {
					b.Fatal("no row")
				}
			}
		})
	}
}
