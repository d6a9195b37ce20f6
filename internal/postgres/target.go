package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Target is a database that a connection string names, with the login.
type Target struct {
	config *pgxpool.Config
	most   int // connections of a pool, as the string has it; 0 where it does not say
}

// Parse reads a connection string: a URL, or keywords and values. What it
// leaves out comes from PGPASSWORD, ~/.pgpass and libpq's other ways. The
// error is a *brimline.Error of the kind postgres_url. It repeats nothing but
// the names of parameters that brimline knows and of files that are missing.
func Parse(text string) (*Target, error) {
	settings, err := read(text)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(settings.keywords())
	if err != nil {
		return nil, settings.refused(err)
	}
	if err := checkConfig(config.ConnConfig); err != nil {
		return nil, err
	}
	run := config.ConnConfig.RuntimeParams
	// All of them are among those that a pooler takes. Text must be UTF-8 whatever the database's encoding is.
	run["client_encoding"], run["timezone"], run["datestyle"] = "UTF8", "UTC", "ISO"
	t := &Target{config: config}
	if _, set := settings["pool_max_conns"]; set {
		t.most = int(config.MaxConns)
	}
	return t, nil
}

// User is the login.
func (t *Target) User() string { return t.config.ConnConfig.User }

// Database is the database's name.
func (t *Target) Database() string { return t.config.ConnConfig.Database }

// Place names the servers and the database, for findings and errors.
func (t *Target) Place() string {
	c := t.config.ConnConfig
	hosts := []string{address(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if a := address(f.Host, f.Port); !slices.Contains(hosts, a) {
			hosts = append(hosts, a)
		}
	}
	return fmt.Sprintf("PostgreSQL at %s, database %q", strings.Join(hosts, ","), c.Database)
}

func address(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// Config is for a connection that shows itself as name in pg_stat_activity.
// The caller may add to its RuntimeParams.
func (t *Target) Config(name string) *pgx.ConnConfig {
	c := t.config.ConnConfig.Copy()
	c.RuntimeParams["application_name"] = name
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	return c
}

// Connect opens a connection; the caller passes its errors to Cause.
func (t *Target) Connect(ctx context.Context, name string) (*pgx.Conn, error) {
	c := t.Config(name)
	// Prepared statements would outlive the transaction behind a pooler, and pay only where a statement is asked often.
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	conn, err := pgx.ConnectConfig(ctx, c)
	return conn, Cause(err)
}

// Pool opens connections as they are needed, at most so many, and waits for each no longer than patience.
func (t *Target) Pool(ctx context.Context, name string, most int, patience time.Duration) (*pgxpool.Pool, error) {
	if t.most > 0 {
		most = min(most, t.most)
	}
	c := t.config.Copy()
	c.ConnConfig.RuntimeParams["application_name"] = name
	c.MaxConns, c.MinConns, c.MinIdleConns = int32(most), 0, 0
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = patience
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	return pool, Cause(err)
}
