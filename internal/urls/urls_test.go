package urls

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	host := func(name, port string) []Host { return []Host{{name, port}} }
	for text, want := range map[string]URL{
		"postgres://h":  {Scheme: "postgres", Hosts: host("h", "")},
		"Postgres://h/": {Scheme: "postgres", Hosts: host("h", "")},
		"postgres://u@h:5432/app": {Scheme: "postgres", User: "u", Hosts: host("h", "5432"), Path: "app",
			RawPath: "app"},
		"postgres://u:@h/app": {Scheme: "postgres", User: "u", HasPassword: true, Hosts: host("h",
			""), Path: "app", RawPath: "app"},
		"postgres://u:p:q,r[s]!$@h/app": {Scheme: "postgres", User: "u", Password: "p:q,r[s]!$",
			HasPassword: true, Hosts: host("h", ""), Path: "app", RawPath: "app"},
		"postgres://a%40b:hun%40t%23e%2Fr%25@h/": {Scheme: "postgres", User: "a@b", Password: "hun@t#e/r%",
			HasPassword: true, Hosts: host("h", "")},
		"postgres://h1:1,h2,[::1]:3,10.0.0.1/a": {Scheme: "postgres", Hosts: []Host{{"h1", "1"}, {"h2", ""}, {"::1",
			"3"}, {"10.0.0.1", ""}}, Path: "a", RawPath: "a"},
		"postgres://[fe80::1%eth0]/a": {Scheme: "postgres", Hosts: host("fe80::1%eth0", ""), Path: "a",
			RawPath: "a"},
		"postgres://%2Fvar%2Frun%2Fpg/a": {Scheme: "postgres", Hosts: host("/var/run/pg", ""), Path: "a",
			RawPath: "a"},
		"postgres:///a%2Fb?host=/tmp&x=%26%3D": {Scheme: "postgres", Hosts: host("", ""), Path: "a/b",
			RawPath: "a%2Fb", Parameters: []Parameter{{"host", "/tmp"}, {"x", "&="}}},
		"postgres://h?sslmode=disable": {Scheme: "postgres", Hosts: host("h", ""),
			Parameters: []Parameter{{"sslmode", "disable"}}},
		"http://u:p@connect_1.local:8083/a/b/": {Scheme: "http", User: "u", Password: "p", HasPassword: true,
			Hosts: host("connect_1.local", "8083"), Path: "a/b/", RawPath: "a/b/"},
		"postgresql+psycopg://h": {Scheme: "postgresql+psycopg", Hosts: host("h", "")},
	} {
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

// TestParseUnreadable: a password with each character that ends something in
// a URL, where it stands alone, between and at either end, is never taken apart.
func TestParseUnreadable(t *testing.T) {
	bad := []string{
		"",
		"h",
		"host=h",
		"//h",
		"postgres:/h",
		"://h",
		"hun:ter://h",
		"jdbc:postgresql://h/a",
		"postgres://h:port/a",
		"postgres://h:0/",
		"postgres://h:65536/",
		"postgres://h:+1/",
		"postgres://h:1:2/",
		"postgres://u@h@i",
		"postgres://h#x",
		"postgres://h/a?b",
		"postgres://h/a?=b",
		"postgres://h/a?b=c&",
		"postgres://[::1/a",
		"postgres://[h]/a",
		"postgres://[::1]x/a",
		"postgres://::1/a",
		"postgres://h%/a",
		"postgres://h/%zz",
		"postgres://h/%00",
		"postgres://h/%0a",
		"postgres://h/a?b=%",
		"postgres://ho st/a",
		"postgres://h/a b",
		"postgres://h/a\n",
		"postgres://hö/a",
		"postgres://h/\xff",
		"postgres://h/a@b",
		"postgres://h/a?b=c@d",
		"postgres://h/a?b=c?d",
		"postgres://h'/a",
		"postgres://%2F..%40/a",
		"postgres://h,/tmp/x@y/a",
	}
	for _, special := range []string{"@", "#", "/", "?", " ", "%", "\t", "%g1", "?a=", "/?a=", "#@", "@/", "/@"} {
		for _, password := range []string{special, special + "hunter2", "hunter2" + special, "hun" + special + "ter2",
			special + special} {
			bad = append(
				bad,
				"postgres://brimline:"+password+"@127.0.0.1:5432/app",
				"postgres://"+password+"@127.0.0.1:5432/app",
				"http://u:"+password+"@127.0.0.1/",
				"postgres://brimline:"+password+"@h1,h2/app?sslmode=disable",
			)
		}
	}
	for _, text := range bad {
		if u, err := Parse(text); err != ErrUnreadable { //nolint:errorlint // nothing may be said around it
			t.Errorf("%q was read as %+v, %v", text, u, err)
		}
	}
}

// FuzzParse: a secret between the first : and the last @ is the password, whole, or the URL is unreadable.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"x", "a@b", "a#b", "a/b", "a?b=c", "a%41", "a:b", "[", "a,b:1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		u, err := Parse("postgres://user:" + secret + "@host:5432/app")
		if err != nil {
			return
		}
		want, ok := unescape(secret)
		if !ok || u.Password != want || u.User != "user" || len(u.Hosts) != 1 || u.Hosts[0] != (Host{"host", "5432"}) ||
			u.Path != "app" ||
			u.Parameters != nil {
			t.Errorf("%q was read as %+v", secret, u)
		}
	})
}

func TestIsHostPort(t *testing.T) {
	for text, want := range map[string]bool{
		"kafka:9092": true, "127.0.0.1:9092": true, "[::1]:9092": true, "kafka_1.svc:9": true,
		"kafka": false, ":9092": false, "kafka:": false, "u:p@kafka:9092": false, "p@kafka:9092": false,
		"kafka://h:9092": false, "a:b:9092": false,
		"kafka:http": false, "[::1]": false, "/tmp:9092": false, "ka%66ka:1": false, "ka fka:1": false, "": false,
	} {
		if IsHostPort(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
