package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// taking serves requests that have no other query parameters than those named, each at most once. A parameter that
// nothing is known of is refused: its answer would be taken for what was asked.
func taking(serve http.HandlerFunc, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := checkQuery(r, names...); err != nil {
			writeError(w, statusOf(err), err)
			return
		}
		serve(w, r)
	}
}

func checkQuery(r *http.Request, names ...string) error {
	remedy := "leave it out: this address takes no parameters"
	switch len(names) {
	case 0:
	case 1:
		remedy = "this address takes " + names[0] + ", once"
	default:
		last := len(names) - 1
		remedy = "this address takes " + strings.Join(names[:last], ", ") + " and " + names[last] + ", each once"
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badParameter("query", remedy, "it cannot be read: %v", err)
	}
	var unknown []string
	for name, all := range values {
		switch {
		case !slices.Contains(names, name):
			unknown = append(unknown, strconv.Quote(name))
		case len(all) > 1:
			return badParameter(strconv.Quote(name), remedy, "it is given %d times", len(all))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return badParameter("query", remedy, "not known: %s", strings.Join(unknown, ", "))
}

func badParameter(where, remedy, format string, args ...any) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "bad_parameter", Where: where, Remedy: remedy, Err: fmt.Errorf(format, args...),
	}
}

// number reads a query parameter that counts something.
func number(r *http.Request, name string, standard, most int) (int, error) {
	if !r.URL.Query().Has(name) {
		return standard, nil
	}
	s := r.URL.Query().Get(name)
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, badParameter(name, fmt.Sprintf("give a whole number from 0 to %d", most), "%q is not such a number", s)
	}
	return n, nil
}
