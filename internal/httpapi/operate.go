package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/brimline/brimline"
)

// Operator does what takes the role operate.
type Operator interface {
	// Retry sends the record of a dead letter through again. The letter is named by its own place in the topic of dead
	// letters.
	Retry(ctx context.Context, partition int32, offset int64) (Retried, error)
}

// Retried says where a dead letter went.
type Retried struct {
	Topic     string `json:"topic"` // of its record
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	// Into is source where the record was written once more, and window where the window stage asks about it again.
	Into string `json:"into"`
}

// retry sends a dead letter through again.
func (h *handler) retry(w http.ResponseWriter, r *http.Request) {
	var letter struct {
		Partition *int32 `json:"partition"`
		Offset    *int64 `json:"offset"`
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, &brimline.Error{
			Class: brimline.ClassInput, Kind: "media_type", Remedy: "send JSON, with the Content-Type application/json",
			Err: errors.New("the body is of another kind"),
		})
		return
	}
	body := json.NewDecoder(r.Body)
	body.DisallowUnknownFields()
	err := body.Decode(&letter)
	if err == nil {
		if _, more := body.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the body's end")
		}
	}
	if err == nil && (letter.Partition == nil || letter.Offset == nil || *letter.Partition < 0 || *letter.Offset < 0) {
		err = errors.New("it names no partition and offset from 0 on: those of `recorded` in /api/v1/dead-letters")
	}
	if err != nil {
		status, err := statusOfBody(err)
		writeError(w, status, err)
		return
	}
	done, err := Retried{}, errNoView("dead letters")
	if h.Operator != nil {
		done, err = h.Operator.Retry(r.Context(), *letter.Partition, *letter.Offset)
	}
	h.audit(r, "dead letter retried", err, "letter", fmt.Sprintf("%d/%d", *letter.Partition, *letter.Offset))
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]Retried{"retried": done})
}

// audit writes down each use of the role operate, done or not. No ids of users belong there.
func (h *handler) audit(r *http.Request, what string, err error, more ...any) {
	v := visitOf(r)
	all := append([]any{"what", what, "who", v.name(), "role", v.role.String(), "from", addressOf(r)}, more...)
	if err != nil {
		h.Events.Warn("audit", append(all, "done", false, "problem", describe(err).Kind)...)
		return
	}
	h.Events.Info("audit", append(all, "done", true)...)
}
