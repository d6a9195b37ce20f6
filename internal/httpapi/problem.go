package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// problem is a failure as RFC 9457 has it. Type is the error's kind after problemType, so that programs tell failures
// apart by it; Title says the kind to people. Remedy is an extension: what to do about it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

const problemType = "urn:brimline:problem:"

func problemOf(status int, err error) problem {
	e := describe(err)
	title := strings.ReplaceAll(e.Kind, "_", " ")
	return problem{
		Type: problemType + e.Kind, Title: strings.ToUpper(title[:1]) + title[1:], Status: status,
		Detail: e.Message, Remedy: e.Remedy,
	}
}

// statusOf maps a failure to an HTTP status.
func statusOf(err error) int {
	e, ok := errors.AsType[*brimline.Error](err)
	switch {
	case !ok:
		return http.StatusInternalServerError
	case e.Kind == "alert_not_found" || e.Kind == "alert_not_found_yet":
		return http.StatusNotFound
	case e.Kind == "cursor_gone":
		return http.StatusGone
	case e.Class == brimline.ClassInput:
		return http.StatusBadRequest
	case e.Kind == "view_read":
		return http.StatusInternalServerError
	default: // not recovered yet, stopped, Kafka away: may pass
		return http.StatusServiceUnavailable
	}
}

// errorBody is a failure taken apart.
type errorBody struct {
	Kind    string
	Message string
	Remedy  string
}

func describe(err error) errorBody {
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok {
		return errorBody{Kind: "internal", Message: err.Error()}
	}
	message := e.Err.Error()
	if e.Where != "" {
		message = e.Where + ": " + message
	}
	return errorBody{Kind: e.Kind, Message: message, Remedy: e.Remedy}
}

func writeError(w http.ResponseWriter, status int, err error) {
	write(w, status, "application/problem+json", problemOf(status, err))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	write(w, status, "application/json; charset=utf-8", v)
}

func write(w http.ResponseWriter, status int, mediaType string, v any) {
	// Encoded before anything is sent, so that a failure is not half an answer.
	body, err := json.Marshal(v)
	if err != nil {
		status, mediaType = http.StatusInternalServerError, "application/problem+json"
		body, _ = json.Marshal(problemOf(status, errors.New("the answer cannot be written as JSON")))
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(append(present.Append(nil, body), '\n')) // people look at it with curl
}
