package brimline

import "testing"

func TestParseLSN(t *testing.T) {
	for _, lsn := range []uint64{0, 1, 0x16B3748, 1 << 32, 1<<64 - 1} {
		if got, err := ParseLSN(FormatLSN(lsn)); err != nil || got != lsn {
			t.Errorf("%X: %X %v", lsn, got, err)
		}
	}
	for _, bad := range []string{"", "/", "1", "1/", "/1", "x/1", "1/123456789"} {
		if got, err := ParseLSN(bad); err == nil {
			t.Errorf("%q was read as %X", bad, got)
		}
	}
}
