package httpapi

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Users gives a user's figures; *views.Windows does.
type Users interface {
	User(ctx context.Context, id string, now brimline.Time) (views.User, error)
}

// Alerts gives alerts; *views.Alerts does.
type Alerts interface {
	User(id string) ([]*brimline.Alert, error)
	Recent(ctx context.Context, n int) ([]*brimline.Alert, error)
}

// Explainer says why there was an alert, or none; *explain.Asker does.
type Explainer interface {
	Explain(ctx context.Context, q explain.Question) ([]*explain.Report, error)
}

// Options are the sources of the API's answers.
type Options struct {
	Users  Users  // nil where this instance keeps no view: answered with 503
	Alerts Alerts // nil likewise
	Log    Log    // nil likewise
	// Explain answers within the time and the number of questions that it bounds itself; nil likewise.
	Explain Explainer
	// Of the alerts topic, with Frame; nil likewise, and gives nil while it is not followed.
	Live    func() *feed.Live
	Status  func(context.Context) Status // must answer within a second, whatever is away
	Rules   brimline.RuleSet             //
	Streams processors.Streams           //
	Metrics prometheus.Gatherer          //
	Now     func() time.Time             // nil is time.Now
}

// The page and what it needs: nothing is loaded from anywhere else.
//
//go:embed assets
var assets embed.FS

type handler struct {
	Options
	page    *template.Template
	readers atomic.Int64 // of the stream
}

// New makes the handler of everything in the package comment.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &handler{Options: o}
	h.page = template.Must(template.New("page.html").Funcs(pageFuncs()).ParseFS(assets, "assets/*.html"))

	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
	})
	mux.HandleFunc("/readyz", h.ready)
	mux.Handle("/metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	for _, r := range h.routes() {
		mux.HandleFunc(r.path, taking(r.serve, r.takes...))
	}
	mux.HandleFunc("/{$}", h.index)
	for _, name := range []string{"style.css", "page.js", "icon.svg"} {
		mux.Handle("/assets/"+name, asset(name))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, &brimline.Error{
			Class: brimline.ClassInput, Kind: "not_found", Remedy: "see / for the page and " + descriptionPath + " for the API",
			Err: errors.New("there is nothing at this address"),
		})
	})
	return guarded(mux)
}

// route is an address of the API and the query parameters that it takes. openapi.yaml describes each.
type route struct {
	path  string
	serve http.HandlerFunc
	takes []string
}

func (h *handler) routes() []route {
	return []route{
		{"/api/v1/users/{id}", h.user, []string{"rows"}},
		{"/api/v1/users/{id}/alerts", h.userAlerts, nil},
		{"/api/v1/users/{id}/explain", h.explain, []string{"rule", "at", "rows"}},
		{"/api/v1/alerts", h.alerts, paged(alertFilters)},
		{"/api/v1/alerts.csv", h.alertsCSV, paged(alertFilters)},
		{"/api/v1/alerts/by-id", h.alertByID, []string{"id", "cursor"}},
		{"/api/v1/alerts/stream", h.stream, streamParameters},
		{"/api/v1/shadow", h.shadow, paged(alertFilters)},
		{"/api/v1/dismissed", h.dismissed, paged(dismissedFilters)},
		{"/api/v1/dead-letters", h.deadLetters, paged(deadLetterFilters)},
		{"/api/v1/status", h.status, nil},
		{"/api/v1/rules", h.rules, nil},
		{"/api/v1/topology", h.topology, nil},
		{descriptionPath, description(), nil},
	}
}

// guarded sets the security headers and refuses what changes things: to pages
// of other origins before anything else, so that whatever will once be changed
// here is kept from them.
func guarded(next http.Handler) http.Handler {
	reading := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeError(w, http.StatusMethodNotAllowed, &brimline.Error{
				Class: brimline.ClassInput, Kind: "method_not_allowed", Remedy: "use GET", Err: fmt.Errorf("%s is not served: nothing can be changed here", strconv.Quote(r.Method)),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusForbidden, &brimline.Error{
			Class: brimline.ClassInput, Kind: "cross_origin",
			Remedy: "ask from the page of this server, or from a program that is no browser",
			Err:    fmt.Errorf("%s from a page of another origin", strconv.Quote(r.Method)),
		})
	}))
	protected := origins.Handler(reading)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		protected.ServeHTTP(w, r)
	})
}

// secure sets what every answer says to browsers.
func secure(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; "+
		"img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer") // user ids are in addresses
	header.Set("Cache-Control", "no-store")
}

func asset(name string) http.Handler {
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // a name that go:embed did not take: every test meets it
	}
	kinds := map[string]string{
		"css": "text/css; charset=utf-8",
		"js":  "text/javascript; charset=utf-8",
		"svg": "image/svg+xml",
	}
	kind := kinds[name[strings.LastIndexByte(name, '.')+1:]]
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(content)
	})
}

func (h *handler) now() brimline.Time { return brimline.TimeOf(h.Now()) }

// maxIDBytes bounds user ids: far longer than any key that Kafka would take with comfort.
const maxIDBytes = 1024

func (h *handler) lookUp(ctx context.Context, id string) (views.User, error) {
	if h.Users == nil {
		return views.User{}, errNoView("users")
	}
	if err := checkID(id); err != nil {
		return views.User{}, err
	}
	return h.Users.User(ctx, id, h.now())
}

func checkID(id string) error {
	if len(id) <= maxIDBytes && utf8.ValidString(id) {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "bad_user_id", Remedy: "give the user id as it stands in the table",
		Err: fmt.Errorf("no user has this id: %d bytes", len(id)),
	}
}

func errNoView(what string) error {
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "no_view",
		Remedy: "ask another instance, or `brimline user` and `brimline alerts`",
		Err:    fmt.Errorf("this instance does not know %s", what),
	}
}
