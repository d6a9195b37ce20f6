package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
)

// Admission says who may ask. Without Tokens everybody may read, and none may change anything.
type Admission struct {
	// Tokens are those of the moment; nil where there is no file of tokens.
	Tokens func() *access.Tokens
	// Anonymous lets those without a token read.
	Anonymous bool
	// TLS says that the server is asked by TLS alone: cookies are then sent by nothing else.
	TLS bool
	// Sessions are those of logins; nil: of this handler alone.
	Sessions *access.Sessions
}

func (a *Admission) open() bool { return a.Tokens == nil || a.Anonymous }

// visit says who sent a request, as far as the door could tell.
type visit struct {
	who     access.Who // zero where that is not known
	role    access.Role
	session string // where a cookie says who it is
	wrong   bool   // a token was shown that is none
	tokens  func() *access.Tokens
	lasts   func() bool // the session does; nil where there is none
}

// still tells whether who was let in would be let in now: a token that was taken out of the file ends a stream, and so
// does the end of a login.
func (v *visit) still() bool {
	if v != nil && v.lasts != nil && !v.lasts() {
		return false
	}
	if v == nil || v.tokens == nil || v.who.ID == "" {
		return true
	}
	now, ok := v.tokens().ByID(v.who.ID)
	return ok && now == v.who
}

func (v *visit) name() string {
	if v.who.Name == "" {
		return "anonymous"
	}
	return v.who.Name
}

type visitKey struct{}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// admit finds out who asks. What they may is asked for by needs, for each address.
func (h *handler) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{tokens: h.Admission.Tokens}
		if h.Admission.open() {
			v.role = access.Read
		}
		if h.Admission.Tokens != nil {
			h.identify(r, v)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

func (h *handler) identify(r *http.Request, v *visit) {
	tokens := h.Admission.Tokens()
	if shown := r.Header.Get("Authorization"); shown != "" {
		scheme, token, _ := strings.Cut(shown, " ")
		who, ok := tokens.Of(strings.TrimSpace(token))
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			v.wrong, v.role = true, access.None
			return
		}
		v.who, v.role = who, who.Role
		return
	}
	cookie, err := r.Cookie(h.sessionCookie())
	if err != nil {
		return
	}
	id, ok := h.sessions.Of(cookie.Value, h.Now())
	if !ok {
		return
	}
	if who, ok := tokens.ByID(id); ok {
		v.who, v.role, v.session = who, who.Role, cookie.Value
		v.lasts = func() bool {
			_, ok := h.sessions.Of(cookie.Value, h.Now())
			return ok
		}
	}
}

// needs serves who has a role.
func (h *handler) needs(role access.Role, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if v.role >= role {
			next(w, r)
			return
		}
		status, err := h.refusal(v, role)
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="brimline"`)
		}
		writeError(w, status, err)
	}
}

func (h *handler) refusal(v *visit, role access.Role) (int, error) {
	e := &brimline.Error{Class: brimline.ClassInput, Kind: "unauthorized"}
	switch {
	case h.Admission.Tokens == nil:
		e.Kind = "forbidden"
		e.Err = errors.New("nothing can be changed here: this instance knows no tokens")
		e.Remedy = "start it with --tokens-file, and a token in it with the role " + role.String()
	case v.wrong:
		e.Err = errors.New("this token is not known here")
		e.Remedy = "send `Authorization: Bearer TOKEN` with a token of --tokens-file as it is now"
	case v.who.ID == "":
		e.Err = errors.New("this is answered to who has a token")
		e.Remedy = "send `Authorization: Bearer TOKEN` with a token of --tokens-file, or log in at " + h.Base + loginPath
	default:
		e.Kind = "forbidden"
		e.Err = errors.New("the token of " + v.who.Name + " has the role " + v.who.Role.String() + ", and this takes " +
			role.String())
		e.Remedy = "ask with a token of the role " + role.String()
	}
	if e.Kind == "forbidden" {
		return http.StatusForbidden, e
	}
	return http.StatusUnauthorized, e
}

// changing serves what changes something: to programs with a token, and to forms of this server's own pages.
func (h *handler) changing(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if v := visitOf(r); v.session != "" && !h.sessions.FormOf(r.Header.Get("X-CSRF-Token"), v.session) &&
			!h.sessions.FormOf(formValue(r), v.session) {
			writeError(w, http.StatusForbidden, errForm())
			return
		}
		next(w, r)
	}
}

func errForm() error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "csrf", Remedy: "load the page again, and send its form",
		Err: errors.New("the form does not come from a page of this login"),
	}
}

// formValue gives the token that a form of our pages brings along; other bodies are left unread.
func formValue(r *http.Request) string {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return ""
	}
	return r.PostFormValue("csrf")
}

// clientOf tells clients apart.
func clientOf(r *http.Request) string {
	if v := visitOf(r); v != nil && v.who.ID != "" {
		return "token " + v.who.Name
	}
	return "address " + addressOf(r)
}

// addressOf is where a request comes from: a proxy's where there is one.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Paths of the page, after Base.
const (
	loginPath  = "/login"
	logoutPath = "/logout"
)

// Cookies are told apart by server, because those of one host go to all its ports.
func (h *handler) sessionCookie() string { return "brimline-" + h.sessions.Label() }
func (h *handler) visitCookie() string   { return "brimline-visit-" + h.sessions.Label() }

// setCookie marks the cookie as one for TLS alone where the browser came by it, here or to a proxy that says so.
func (h *handler) setCookie(w http.ResponseWriter, r *http.Request, name, value string, lasts time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: h.Base + "/", MaxAge: int(lasts.Seconds()), HttpOnly: true,
		Secure:   h.Admission.TLS || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
		SameSite: http.SameSiteStrictMode,
	})
}

// login fills its template.
type login struct {
	Base   string
	Form   string
	Asked  string // the user who was asked for
	To     string // the view that was, where it is another one
	Failed *errorBody
}

// loginPage asks for a token.
func (h *handler) loginPage(w http.ResponseWriter, r *http.Request) {
	if err := checkQuery(r, "user", "to"); err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	h.askForToken(w, r, http.StatusOK, r.URL.Query(), nil)
}

// viewPaths are the views that links lead to, besides the one at the root.
var viewPaths = []string{"/alert", "/rules", "/operations"}

// viewOf gives the view that a text names, as a path and query after Base; empty where it names none, so that a login
// leads nowhere else.
func viewOf(text string) string {
	path, query, more := strings.Cut(text, "?")
	switch {
	case !slices.Contains(viewPaths, path):
		return ""
	case more:
		return path + "?" + (&url.URL{RawQuery: query}).Query().Encode()
	}
	return path
}

func (h *handler) askForToken(w http.ResponseWriter, r *http.Request, status int, wanted url.Values, failed error) {
	visit := access.Nonce()
	if c, err := r.Cookie(h.visitCookie()); err == nil && len(c.Value) == len(visit) {
		visit = c.Value
	} else {
		h.setCookie(w, r, h.visitCookie(), visit, access.SessionLasts)
	}
	l := login{Base: h.Base, Form: h.sessions.Form(visit), Asked: wanted.Get("user"), To: viewOf(wanted.Get("to"))}
	if failed != nil {
		l.Failed = new(describe(failed))
	}
	h.render(w, status, "login.html", &l)
}

// logIn begins the session of who has a token.
func (h *handler) logIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		status, err := statusOfBody(err)
		writeError(w, status, err)
		return
	}
	wanted := r.PostForm
	cookie, err := r.Cookie(h.visitCookie())
	if err != nil || !h.sessions.FormOf(r.PostForm.Get("csrf"), cookie.Value) {
		h.askForToken(w, r, http.StatusForbidden, wanted, errForm())
		return
	}
	who, ok := h.Admission.Tokens().Of(strings.TrimSpace(r.PostForm.Get("token")))
	if !ok {
		h.Events.Warn("login refused", "from", addressOf(r))
		h.askForToken(w, r, http.StatusUnauthorized, wanted, &brimline.Error{
			Class: brimline.ClassInput, Kind: "unauthorized", Remedy: "ask the operator for a token",
			Err: errors.New("this token is not known here"),
		})
		return
	}
	h.Events.Info("logged in", "who", who.Name, "role", who.Role.String(), "from", addressOf(r))
	h.setCookie(w, r, h.sessionCookie(), h.sessions.Begin(who, h.Now()), access.SessionLasts)
	to := h.Base + "/"
	if asked := wanted.Get("user"); asked != "" {
		to += "?user=" + url.QueryEscape(asked)
	} else if view := viewOf(wanted.Get("to")); view != "" {
		to = h.Base + view
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// logOut ends a session.
func (h *handler) logOut(w http.ResponseWriter, r *http.Request) {
	v := visitOf(r)
	if v.session != "" {
		h.sessions.End(v.session, h.Now())
		h.Events.Info("logged out", "who", v.name(), "from", addressOf(r))
	}
	h.setCookie(w, r, h.sessionCookie(), "", -time.Second)
	http.Redirect(w, r, h.Base+loginPath, http.StatusSeeOther)
}

// welcome leads who may not see the page to the login. A link on a page of another origin brings no cookie along
// (SameSite=Strict); asked for once more from here it does.
func (h *handler) welcome(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if v.role >= access.Read || v.wrong || h.Admission.Tokens == nil {
			h.needs(access.Read, next)(w, r)
			return
		}
		query, here := "", h.Base+"/"
		if user := r.URL.Query().Get("user"); user != "" {
			query = "?user=" + url.QueryEscape(user)
			here += query
		} else if view := viewOf(strings.TrimPrefix(r.URL.RequestURI(), h.Base)); view != "" {
			query, here = "?to="+url.QueryEscape(view), h.Base+view
		}
		if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			h.render(w, http.StatusOK, "again.html", here)
			return
		}
		http.Redirect(w, r, h.Base+loginPath+query, http.StatusSeeOther)
	}
}

// answer remembers what was answered, for the log.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// logged logs requests by their routes: paths and parameters hold ids of users.
func logged(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, a := time.Now(), &answer{ResponseWriter: w}
		defer func() {
			log.Info("request", "method", r.Method, "route", r.Pattern, "status", a.status, "bytes", a.bytes,
				"took", time.Since(began), "who", visitOf(r).name(), "from", addressOf(r))
		}()
		next.ServeHTTP(a, r)
	})
}
