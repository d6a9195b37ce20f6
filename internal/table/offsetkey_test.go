package table

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lovoo/goka/storage"
)

// counting notes which keys are set unreported.
type counting struct {
	storage.Storage
	unreported []string
}

func (c *counting) SetUnreported(key string, value []byte) error {
	c.unreported = append(c.unreported, fmt.Sprintf("%q=%s", key, value))
	return nil
}

func TestUnreportedWritesReachTheStorage(t *testing.T) {
	inner := &counting{Storage: storage.NewMemory()}
	for _, key := range []string{"u", offsetKey} {
		if err := (escaping{inner}).SetUnreported(key, []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if want := fmt.Sprintf("%q=v %q=v", "u", escapedOffsetKey); strings.Join(inner.unreported, " ") != want {
		t.Errorf("got %s, want %s", inner.unreported, want)
	}

	plain := storage.NewMemory()
	u := escaping{plain}
	for _, value := range [][]byte{[]byte("v"), nil} {
		if err := u.SetUnreported(offsetKey, value); err != nil {
			t.Fatal(err)
		}
		if got, _ := plain.Get(escapedOffsetKey); string(got) != string(value) {
			t.Errorf("a storage that counts nothing holds %q, want %q", got, value)
		}
	}
}

func TestUsersCannotReachGokasOffset(t *testing.T) {
	inner := storage.NewMemory()
	s := escaping{inner}
	if err := s.Set(offsetKey, []byte("user")); err != nil {
		t.Fatal(err)
	}
	if v, _ := inner.Get(offsetKey); v != nil {
		t.Errorf("the offset is now %q", v)
	}
	if v, _ := s.Get(offsetKey); string(v) != "user" {
		t.Errorf("the user's value is %q", v)
	}
	it, err := s.Iterator()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Release()
	var keys []string
	for it.Next() {
		keys = append(keys, string(it.Key()))
	}
	if fmt.Sprint(keys) != "["+offsetKey+"]" {
		t.Errorf("keys %q", keys)
	}
}
