package httpapi

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
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

	// Base goes before all addresses: empty, or like /brimline.
	Base      string
	Admission Admission
	Operator  Operator // nil likewise
	// Apart says that metrics and probes are not served here, but by Probes.
	Apart bool
	// Events is told who logged in and what was done with the role operate; with LogRequests each request. nil discards.
	Events      *slog.Logger
	LogRequests bool
}

// The page and what it needs: nothing is loaded from anywhere else.
//
//go:embed assets
var assets embed.FS

type handler struct {
	Options
	pages    *template.Template
	readers  atomic.Int64 // of the stream
	limits   limiter
	sessions *access.Sessions

	alertTally, shadowTally *tally
	rates                   *rates
}

// Paths of what holds neither users nor totals.
const (
	alivePath   = "/healthz"
	readyPath   = "/readyz"
	metricsPath = "/metrics"
)

// ProbePaths are the paths of metrics and probes below a base.
func ProbePaths(base string) []string {
	return []string{base + alivePath, base + readyPath, base + metricsPath}
}

func newHandler(o Options) *handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Events == nil {
		o.Events = slog.New(slog.DiscardHandler)
	}
	h := &handler{Options: o, sessions: o.Admission.Sessions}
	if h.sessions == nil {
		h.sessions = access.NewSessions()
	}
	return h
}

// Probes makes the handler of metrics and probes alone, for a listener of their own.
func Probes(o Options) http.Handler {
	o.Base, o.Admission, o.LogRequests = "", Admission{}, false
	h, mux := newHandler(o), http.NewServeMux()
	h.probes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		nothingHere(w, strings.Join(ProbePaths(""), ", ")+" are what there is")
	})
	return h.guarded(mux)
}

func (h *handler) probes(mux *http.ServeMux) {
	mux.HandleFunc(h.Base+alivePath, bounded(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
	}))
	mux.HandleFunc(h.Base+readyPath, bounded(h.ready))
	metrics := promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: costlyOfOne})
	mux.HandleFunc(h.Base+metricsPath, h.needs(access.Read, bounded(metrics.ServeHTTP)))
}

func nothingHere(w http.ResponseWriter, remedy string) {
	writeError(w, http.StatusNotFound, &brimline.Error{
		Class: brimline.ClassInput, Kind: "not_found", Remedy: remedy, Err: errors.New("there is nothing at this address"),
	})
}

// New makes the handler of everything in the package comment.
func New(o Options) http.Handler {
	h := newHandler(o)
	h.tallies()
	h.pages = template.Must(template.New("page.html").Funcs(pageFuncs()).ParseFS(assets, "assets/*.html"))

	mux := http.NewServeMux()
	if !h.Apart {
		h.probes(mux)
	}
	for _, r := range h.routes() {
		serve := taking(r.serve, r.takes...)
		if r.costly {
			serve = h.costly(serve)
		}
		if !r.endless {
			serve = bounded(serve)
		}
		if r.role == access.Operate {
			serve = h.changing(serve)
		}
		mux.HandleFunc(h.Base+r.path, h.needs(r.role, serve))
	}
	for path, view := range map[string]http.HandlerFunc{
		"/{$}": h.index, "/alert": h.showAlert, "/rules": h.showRules, "/operations": h.showOperations,
	} {
		mux.HandleFunc(h.Base+path, h.welcome(h.costly(bounded(view))))
	}
	mux.HandleFunc("POST "+h.Base+retryForm, h.needs(access.Operate, h.changing(h.costly(bounded(h.retryPage)))))
	if h.Admission.Tokens != nil {
		mux.HandleFunc("GET "+h.Base+loginPath, h.loginPage)
		mux.HandleFunc("POST "+h.Base+loginPath, h.logIn)
		mux.HandleFunc("POST "+h.Base+logoutPath, h.changing(h.logOut))
	}
	for _, name := range []string{"style.css", "page.js", "icon.svg"} {
		mux.Handle(h.Base+"/assets/"+name, asset(name))
	}
	if h.Base != "" {
		mux.HandleFunc("/", h.nothing)
	}
	mux.HandleFunc(h.Base+"/", h.nothing)
	return h.guarded(mux)
}

func (h *handler) nothing(w http.ResponseWriter, _ *http.Request) {
	nothingHere(w, "see "+h.Base+"/ for the page and "+h.Base+descriptionPath+" for the API")
}

// route is an address of the API and the query parameters that it takes. openapi.yaml describes each.
type route struct {
	path    string
	serve   http.HandlerFunc
	takes   []string
	role    access.Role
	costly  bool // looks into tables or topics
	endless bool // the stream
}

func (h *handler) routes() []route {
	const read, operate = access.Read, access.Operate
	costly := func(path string, serve http.HandlerFunc, takes []string) route {
		return route{path: path, serve: serve, takes: takes, role: read, costly: true}
	}
	return []route{
		costly("/api/v1/users/{id}", h.user, []string{"rows"}),
		costly("/api/v1/users/{id}/alerts", h.userAlerts, nil),
		costly("/api/v1/users/{id}/explain", h.explain, []string{"rule", "at", "rows"}),
		costly("/api/v1/alerts", h.alerts, paged(alertFilters)),
		costly("/api/v1/alerts.csv", h.alertsCSV, paged(alertFilters)),
		costly("/api/v1/alerts/by-id", h.alertByID, []string{"id", "cursor"}),
		{path: "/api/v1/alerts/stream", serve: h.stream, takes: streamParameters, role: read, endless: true},
		costly("/api/v1/shadow", h.shadow, paged(alertFilters)),
		costly("/api/v1/dismissed", h.dismissed, paged(dismissedFilters)),
		costly("/api/v1/dead-letters", h.deadLetters, paged(deadLetterFilters)),
		{path: retryPath, serve: h.retry, role: operate, costly: true},
		{path: "/api/v1/status", serve: h.status, role: read},
		{path: "/api/v1/rules", serve: h.rules, role: read},
		{path: "/api/v1/topology", serve: h.topology, role: read},
		{path: descriptionPath, serve: description(h.Base), role: read},
	}
}

// retryPath is the address at which something is changed.
const retryPath = "/api/v1/dead-letters/retry"

// methods are those that an address takes.
func (h *handler) methods(path string) []string {
	switch path {
	case h.Base + retryPath, h.Base + retryForm:
		return []string{http.MethodPost}
	case h.Base + logoutPath:
		if h.Admission.Tokens != nil {
			return []string{http.MethodPost}
		}
	case h.Base + loginPath:
		if h.Admission.Tokens != nil {
			return []string{http.MethodGet, http.MethodHead, http.MethodPost}
		}
	}
	return []string{http.MethodGet, http.MethodHead}
}

// guarded sets the security headers and refuses what changes things: to pages
// of other origins before anything else, so that whatever can be changed
// here is kept from them.
func (h *handler) guarded(next http.Handler) http.Handler {
	taken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowed := h.methods(r.URL.Path); !slices.Contains(allowed, r.Method) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeError(w, http.StatusMethodNotAllowed, &brimline.Error{
				Class: brimline.ClassInput, Kind: "method_not_allowed", Remedy: "use " + allowed[0],
				Err: fmt.Errorf("%s is not served at this address", strconv.Quote(r.Method)),
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
	protected := small(origins.Handler(taken))
	if h.LogRequests {
		protected = logged(h.Events, protected)
	}
	protected = h.admit(protected)
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
