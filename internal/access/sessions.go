package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SessionLasts is how long a login lasts.
const SessionLasts = 12 * time.Hour

// Sessions are those of people who have logged in. A session is a text that is signed with a key of this process: it
// ends with the process, when its token is no longer in the file, after SessionLasts, and when its owner logs out.
type Sessions struct {
	key [sha256.Size]byte

	mu    sync.Mutex
	ended map[string]time.Time // by nonce, until when it would have lasted
}

// NewSessions draws a key.
func NewSessions() *Sessions {
	s := &Sessions{ended: map[string]time.Time{}}
	_, _ = rand.Read(s.key[:]) // never fails
	return s
}

func (s *Sessions) sign(purpose, text string) string {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Label tells the sessions of this process from those of others on the same host, whose cookies reach it as well.
func (s *Sessions) Label() string { return s.sign("label", "")[:8] }

// Begin gives the session of a token's owner.
func (s *Sessions) Begin(who Who, now time.Time) string {
	text := who.ID + "." + strconv.FormatInt(now.Add(SessionLasts).Unix(), 10) + "." + Nonce()
	return text + "." + s.sign("session", text)
}

// Of gives the ID of the token of a session that still lasts.
func (s *Sessions) Of(session string, now time.Time) (id string, ok bool) {
	id, until, nonce, ok := s.parse(session)
	if !ok || !now.Before(until) {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ended := s.ended[nonce]
	return id, !ended
}

func (s *Sessions) parse(session string) (id string, until time.Time, nonce string, ok bool) {
	const most = 256
	at := strings.LastIndexByte(session, '.')
	if at < 0 || len(session) > most || !hmac.Equal([]byte(session[at+1:]), []byte(s.sign("session", session[:at]))) {
		return "", until, "", false
	}
	parts := strings.Split(session[:at], ".")
	if len(parts) != 3 {
		return "", until, "", false
	}
	seconds, err := strconv.ParseInt(parts[1], 10, 64)
	return parts[0], time.Unix(seconds, 0), parts[2], err == nil
}

// End ends a session.
func (s *Sessions) End(session string, now time.Time) {
	_, until, nonce, ok := s.parse(session)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, over := range s.ended {
		if now.After(over) {
			delete(s.ended, n)
		}
	}
	s.ended[nonce] = until
}

// Form gives the token that a form must bring along. It belongs to a text that pages of other origins cannot see: a
// session, or the visit of a person who has none yet.
func (s *Sessions) Form(of string) string { return s.sign("form", of) }

// FormOf tells whether a form is of who has the text.
func (s *Sessions) FormOf(form, of string) bool {
	return of != "" && hmac.Equal([]byte(form), []byte(s.Form(of)))
}

// Nonce is drawn anew each time.
func Nonce() string { return rand.Text() }
