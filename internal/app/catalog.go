package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/processors"
)

// catalogWatch holds the findings of looks at PostgreSQL's catalog while the stages run. A column that is no longer
// what it was stops stage route: records would be read as what they are not. It goes on by itself when the column is
// again what it was.
type catalogWatch struct {
	soon chan struct{} // holds one when a record looked as if the table had changed

	mu       sync.Mutex
	trouble  error         // why stage route must not read; nil while it may
	changed  chan struct{} // closed at the next change of trouble
	replaced string        // the table is another one: what is to be told
}

func newCatalogWatch() *catalogWatch {
	return &catalogWatch{soon: make(chan struct{}, 1), changed: make(chan struct{})}
}

// surprised is called by the decoder.
func (a *App) surprised() {
	select {
	case a.catalog.soon <- struct{}{}:
	default:
	}
}

func (w *catalogWatch) now() (changed <-chan struct{}, trouble error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, w.trouble
}

func (w *catalogWatch) set(trouble error) (news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if (trouble == nil) == (w.trouble == nil) && (trouble == nil || trouble.Error() == w.trouble.Error()) {
		return false
	}
	w.trouble = trouble
	close(w.changed)
	w.changed = make(chan struct{})
	return true
}

// notice tells of a table that was replaced; nil where it was not.
func (w *catalogWatch) notice() *httpapi.Notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.replaced == "" {
		return nil
	}
	return &httpapi.Notice{Kind: "table_replaced", Level: httpapi.Warning, Message: w.replaced, Remedy: remedyReplaced}
}

// errTableBack ends an attempt in whose time the table was changed and changed back.
var errTableBack = errors.New("the table was changed for a moment, and is again what it was")

// guard keeps an attempt from running while the table is not what it was.
func (w *catalogWatch) guard(run attempt) attempt {
	return func(ctx context.Context, tell func(httpapi.State)) error {
		changed, trouble := w.now()
		if trouble != nil {
			tell(httpapi.Failed)
		}
		for trouble != nil {
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
			changed, trouble = w.now()
		}
		tell(httpapi.Starting)
		reading, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			select {
			case <-changed:
				stop()
			case <-reading.Done():
			}
		}()
		err := run(reading, tell)
		if reading.Err() == nil || ctx.Err() != nil {
			return err
		}
		if _, trouble := w.now(); trouble != nil {
			return trouble
		}
		return errTableBack
	}
}

// watchesCatalog reports whether this instance looks at the catalog while it runs.
func (a *App) watchesCatalog() bool {
	return a.config.CatalogEvery > 0 && a.config.DatabaseURL != "" && a.config.Runs(processors.Route)
}

const remedyReplaced = "start a new --group over a new snapshot, unless its rows are those that the stream has already"

func (a *App) watchCatalog(ctx context.Context) {
	tick := time.NewTicker(a.config.CatalogEvery)
	defer tick.Stop()
	l := catalogLook{App: a, said: map[string]bool{}}
	for {
		select {
		case <-tick.C:
		case <-a.catalog.soon:
		case <-ctx.Done():
			return
		}
		l.look(ctx)
	}
}

// catalogLook is one look after another.
type catalogLook struct {
	*App
	said  map[string]bool   // changes that were told
	again processors.Rarely // of a replaced table
}

func (l *catalogLook) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := preflight.ReadCatalog(ctx, DatabaseChecks(&l.config, &l.rules.RuleSet))
	if err != nil { // PostgreSQL is away: verify says so, and nothing is known to have changed
		l.log.Debug("cannot look at the catalog; looking again", "error", err)
		return
	}
	recorded := l.settings.Load()
	if recorded == nil || !recorded.Known() {
		return
	}
	trouble := l.broken(c)
	if l.catalog.set(trouble) {
		if trouble != nil {
			l.log.Error("stage route stops: the table is not what it was", "error", trouble)
		} else {
			l.log.Info("the table is again what it was: stage route goes on")
		}
	}
	if trouble != nil {
		return
	}
	l.replacedBy(c.OID)
	l.follow(c)
}

// broken is why records must not be read any more; nil where they may.
func (l *catalogLook) broken(c *preflight.Catalog) error {
	recorded := l.settings.Load()
	var all []string
	if c == nil {
		all = append(all, fmt.Sprintf("table %s is not there", l.config.Table))
	}
	for _, name := range watched(&l.config, &l.rules.RuleSet) {
		was, known := recorded.Facts[name]
		if c == nil || !known {
			continue
		}
		if is, there := c.Columns[name]; !there {
			all = append(all, fmt.Sprintf("column %s is not there (dropped or renamed)", name))
		} else if !sameKind(was, is.ColumnFacts) {
			all = append(all, fmt.Sprintf("column %s was %s, and is %s", name, was, is.ColumnFacts))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "table_changed", Where: "table " + l.config.Table,
		Remedy: "change it back, and this goes on by itself; or start a new --group with settings that fit, over a new " +
			"snapshot",
		Err: fmt.Errorf("%s", strings.Join(all, "; ")),
	}
}

// replacedBy tells of a table with the same name and another identity, now and then.
func (l *catalogLook) replacedBy(oid uint32) {
	recorded := l.settings.Load()
	what := ""
	if recorded.TableOID != 0 && recorded.TableOID != oid {
		what = fmt.Sprintf("table %s was replaced by another one (oid %d, now %d): rows that were written to it before it "+
			"was published are not in the stream", l.config.Table, recorded.TableOID, oid)
	}
	l.catalog.mu.Lock()
	l.catalog.replaced = what
	l.catalog.mu.Unlock()
	if what != "" && l.again.Due(time.Now()) {
		l.log.Error(what, "remedy", remedyReplaced)
	}
}

// follow takes up changes that leave the meaning of rows as it is, and tells each once.
func (l *catalogLook) follow(c *preflight.Catalog) {
	recorded := l.settings.Load()
	ours := groupSettings(&l.config, &l.rules.RuleSet, &examination{catalog: c})
	changed := false
	for _, name := range slices.Sorted(maps.Keys(ours.Facts)) {
		was, known := recorded.Facts[name]
		if is := ours.Facts[name]; known && was.String() != is.String() {
			changed = true
			l.once(fmt.Sprintf("column %s was %s, and is %s", name, was, is))
		}
	}
	if i := recorded.Identity; i.Full != ours.Identity.Full || !slices.Equal(i.Columns, ours.Identity.Columns) {
		changed = true
		l.once(fmt.Sprintf("the replica identity of %s has changed: see `brimline doctor`", l.config.Table))
	}
	if !changed {
		return
	}
	next := *recorded
	next.Facts, next.Identity = maps.Clone(recorded.Facts), ours.Identity
	maps.Copy(next.Facts, ours.Facts)
	if err := l.read(&next); err != nil {
		l.log.Error("what has changed cannot be taken up", "error", err)
	}
}

func (l *catalogLook) once(what string) {
	if !l.said[what] {
		l.said[what] = true
		l.log.Warn(what)
	}
}
