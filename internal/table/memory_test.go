package table

import "testing"

func TestMemory(t *testing.T) {
	m := newMemory()
	for _, key := range []string{"b", "a", "c", "ab"} {
		if err := m.Set(key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	walk := func(start, limit string) (keys string) {
		i, err := m.IteratorWithRange([]byte(start), []byte(limit))
		if err != nil {
			t.Fatal(err)
		}
		defer i.Release()
		for i.Next() {
			v, _ := i.Value()
			if string(v) != string(i.Key()) {
				t.Errorf("%s at %s", v, i.Key())
			}
			keys += string(i.Key()) + " "
		}
		return keys
	}
	for _, c := range []struct{ start, limit, want string }{
		{"", "", "a ab b c "}, {"a", "", "a ab "}, {"ab", "c", "ab b "}, {"z", "", ""},
	} {
		if got := walk(c.start, c.limit); got != c.want {
			t.Errorf("[%s, %s): %s, want %s", c.start, c.limit, got, c.want)
		}
	}
	i, _ := m.Iterator()
	if !i.Seek([]byte("aa")) || string(i.Key()) != "ab" || i.Seek([]byte("d")) || i.Key() != nil {
		t.Error("Seek")
	}
	if m.Set("x", nil) == nil {
		t.Error("a nil value was taken")
	}
	if err := m.Delete("a"); err != nil || walk("", "") != "ab b c " {
		t.Error("Delete")
	}
}
