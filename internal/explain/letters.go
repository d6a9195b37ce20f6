package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/brimline/brimline"
)

// Concern says how a dead letter has to do with a user.
type Concern struct {
	Names bool // it is about a row of the user
	// Mentions are the members of its key and value that are the user's id, as text or as a number, where the letter
	// names no user or what a row was before: value.after.user_id. Another column may have the same value by chance.
	Mentions []string
	// Untold: whose it is cannot be told. It names no user, and is no JSON, or was cut.
	Untold bool
}

// Any says whether it has to do with the user, as far as can be told.
func (c *Concern) Any() bool { return c.Names || len(c.Mentions) > 0 }

// mostMentions bounds how many members are named.
const mostMentions = 4

// ConcernOf looks for a user in a dead letter.
func ConcernOf(d *brimline.DeadLetter, user string) (c Concern) {
	if d.User == user {
		return Concern{Names: true}
	}
	for name, part := range map[string][]byte{"key": d.Key, "value": d.Value} {
		if len(part) == 0 {
			continue
		}
		parsed, err := parse(part)
		if err != nil {
			c.Untold = c.Untold || d.User == ""
			continue
		}
		if d.User == "" {
			c.walk(name, parsed, user)
		} else if name == "value" { // what names another user may be about a row that was this one's before
			c.walk("value.before", within(parsed, "before"), user)
		}
	}
	slices.Sort(c.Mentions)
	c.Mentions = c.Mentions[:min(len(c.Mentions), mostMentions)]
	c.Untold = c.Untold && len(c.Mentions) == 0
	return c
}

func parse(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one value")
	}
	switch v.(type) {
	case map[string]any, json.Number, string: // of a key that is one value
		return v, nil
	}
	return nil, errors.New("no record")
}

// within is a member of a Debezium envelope, with or without its schema around it.
func within(v any, name string) any {
	m, _ := v.(map[string]any)
	if payload, ok := m["payload"].(map[string]any); ok {
		m = payload
	}
	return m[name]
}

// walk notes the members with the user's id. What Debezium says of the source is none of a row.
func (c *Concern) walk(path string, v any, user string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if name != "schema" && name != "source" && name != "transaction" {
				c.walk(path+"."+name, member, user)
			}
		}
	case string:
		if v == user {
			c.Mentions = append(c.Mentions, path)
		}
	case json.Number:
		if v.String() == user {
			c.Mentions = append(c.Mentions, path)
		}
	}
}
