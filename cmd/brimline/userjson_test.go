package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/views"
)

// TestUserJSON: what `user --json` writes is what openapi.yaml says of a user, and nothing that it does not name.
func TestUserJSON(t *testing.T) {
	doc, err := libopenapi.NewDocument(httpapi.Description())
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc, config.WithStrictMode(),
		config.WithStrictIgnorePaths("$.body.rows[*].columns.**"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	noon := brimline.TimeOf(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))
	limit, _ := brimline.ParseTotal("1000", 2)
	rule := brimline.Rule{ID: "a b", Window: 7 * 24 * time.Hour, Limit: limit}
	compiled, err := views.CompileRules(&brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{rule}})
	if err != nil {
		t.Fatal(err)
	}
	sliders := []sliding.Rule{{Rule: rule}}
	window := func(w brimline.Window) *brimline.Window {
		w.Scale, w.Floor = 2, brimline.MinTime
		return &w
	}
	rows := []brimline.Row{}
	for _, row := range []brimline.Transaction{
		{ID: "1", Time: noon - 2e6, Amount: 60000, Columns: []brimline.Field{{Name: "country", Value: "NO"}}},
		{ID: "2", Time: noon - 1e6, Amount: 60000}, {ID: "3", Time: noon + 1e6, Amount: 1},
	} {
		rows = append(rows, brimline.RowOf(&row))
	}
	for name, w := range map[string]*brimline.Window{
		"unknown": nil, "known": window(brimline.Window{Rows: rows}),
		"distrusted": window(brimline.Window{Rows: rows, Doubt: brimline.Doubt{Offset: 1, Reason: "command", At: noon, Floor: noon}}),
	} {
		u := views.UserAt("7", w, compiled, noon)
		for _, c := range []*userCmd{{}, {Rows: true, With: "5", compiled: sliders}} {
			with, err := c.with(&u)
			if err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(c.record(&u, with))
			if err != nil {
				t.Fatal(err)
			}
			request, _ := http.NewRequest(http.MethodGet, "http://127.0.0.1:8480/api/v1/users/7", nil)
			response := &http.Response{
				StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(bytes.NewReader(body)), Request: request,
			}
			if ok, errs := v.ValidateHttpResponse(request, response); !ok {
				for _, e := range errs {
					t.Errorf("%s, --rows %v: %v\n%s", name, c.Rows, e, body)
				}
			}
		}
	}
}
