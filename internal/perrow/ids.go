package perrow

import "github.com/brimline/brimline"

// IDs maps the ids of rows to values. The zero IDs is empty and takes no value; see MakeIDs.
type IDs[V any] struct {
	integers map[int64]V
	texts    map[string]V
}

// MakeIDs makes a map for about n rows, most of which have ids like first's.
func MakeIDs[V any](n int, first *brimline.Row) *IDs[V] {
	if _, integer := first.IntegerID(); !integer {
		return &IDs[V]{integers: map[int64]V{}, texts: make(map[string]V, n)}
	}
	return &IDs[V]{integers: make(map[int64]V, n), texts: map[string]V{}}
}

// Get gives the value of the row's id.
func (m *IDs[V]) Get(r *brimline.Row) (v V, ok bool) {
	if n, integer := r.IntegerID(); integer {
		v, ok = m.integers[n]
		return v, ok
	}
	v, ok = m.texts[r.ID()]
	return v, ok
}

// Set sets the value of the row's id.
func (m *IDs[V]) Set(r *brimline.Row, v V) {
	if n, integer := r.IntegerID(); integer {
		m.integers[n] = v
		return
	}
	m.texts[r.ID()] = v
}

// Delete takes the row's id out.
func (m *IDs[V]) Delete(r *brimline.Row) {
	if n, integer := r.IntegerID(); integer {
		delete(m.integers, n)
		return
	}
	delete(m.texts, r.ID())
}
