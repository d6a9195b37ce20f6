package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// contract is the served document, strictly: what an answer has and the document does not name is a fault.
type contract struct {
	validator.Validator
	model *v3.Document
}

var theContract = sync.OnceValues(func() (*contract, error) {
	doc, err := libopenapi.NewDocument(Description())
	if err != nil {
		return nil, err
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, err
	}
	// Columns have any names; the library loses the members of an alert behind its allOf, and codecs checks those.
	open := config.WithStrictIgnorePaths(
		"$.body.rows[*].columns.**",
		"$.body.alerts[*].*.**",
		"$.body.alert.*.**",
		"$.body.dismissed[*].*.**",
		"$.body.stages[*].partitions[*].*",
		"$.body.views[*].*",
		"$.body.verification.**",
	)
	v, errs := validator.NewValidator(doc, config.WithStrictMode(), open, config.WithStrictIgnoredHeadersExtra(
		"Content-Security-Policy",
		"X-Content-Type-Options",
		"X-Frame-Options",
		"Cross-Origin-Resource-Policy",
		"Cross-Origin-Opener-Policy",
		"Referrer-Policy",
		"Cache-Control",
		"Content-Disposition",
	))
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return &contract{v, &model.Model}, nil
})

// keepsContract compares an answer, and the request that had it, with the document. It reads the body and puts it back.
func keepsContract(t *testing.T, request *http.Request, response *http.Response) {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range c.complaints(request, response, body) {
		t.Errorf("%s, status %d, is not as openapi.yaml has it: %s", request.URL, response.StatusCode, complaint)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
}

func (c *contract) complaints(request *http.Request, response *http.Response, body []byte) (all []string) {
	// The library takes a path apart at slashes that are encoded, too; which one it is, the server has found.
	request = request.Clone(request.Context())
	if strings.HasPrefix(request.URL.Path, "/api/v1/users/") {
		id, alerts := strings.CutSuffix(strings.TrimPrefix(request.URL.EscapedPath(), "/api/v1/users/"), "/alerts")
		id, explain := strings.CutSuffix(id, "/explain")
		if strings.Contains(id, "%") {
			id = "encoded"
		}
		path := "/api/v1/users/" + id
		if alerts {
			path += "/alerts"
		}
		if explain {
			path += "/explain"
		}
		query := request.URL.RawQuery
		request.URL = &url.URL{Scheme: request.URL.Scheme, Host: request.URL.Host, Path: path, RawQuery: query}
	}
	judged := *response
	judged.Body = io.NopCloser(bytes.NewReader(body))
	if request.Method == http.MethodHead {
		return nil // has no body
	}
	if ok, errs := c.ValidateHttpResponse(request, &judged); !ok {
		for _, e := range errs {
			all = append(all, e.Error())
		}
	}
	// A request that is served is one that the document allows. One that is refused need not be another.
	if response.StatusCode < 300 {
		if request.GetBody != nil {
			request.Body, _ = request.GetBody()
		}
		if ok, errs := c.ValidateHttpRequest(request); !ok {
			for _, e := range errs {
				all = append(all, "the request: "+e.Error())
			}
		}
	}
	return all
}

func TestDescriptionIsOpenAPI(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	if ok, errs := c.ValidateDocument(); !ok {
		t.Errorf("the document is no OpenAPI 3.1: %v", errs)
	}
	r := get(t, New(newFakes().options()), descriptionPath)
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/yaml") ||
		!bytes.Equal(body, Description()) {
		t.Errorf("status %d, %s, %d bytes", r.StatusCode, r.Header.Get("Content-Type"), len(body))
	}
	if !bytes.Contains(body, []byte("Keyed by id")) {
		t.Error("the alert's schema is not in it")
	}
}

// The document names the addresses and parameters that there are, and no others.
func TestDescriptionNamesEveryRoute(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	described := map[string][]string{}
	for path, item := range c.model.Paths.PathItems.FromOldest() {
		described[path] = []string{}
		all := item.Parameters
		for _, operation := range item.GetOperations().FromOldest() {
			all = append(all, operation.Parameters...)
		}
		for _, p := range all {
			if p.In == "query" {
				described[path] = append(described[path], p.Name)
			}
		}
	}
	for _, r := range (&handler{}).routes() {
		names, ok := described[r.path]
		if !ok {
			t.Errorf("%s is served and not described", r.path)
		}
		takes := slices.Sorted(slices.Values(r.takes))
		if slices.Sort(names); !slices.Equal(names, takes) {
			t.Errorf("%s takes %q, and is described with %q", r.path, takes, names)
		}
		delete(described, r.path)
	}
	for path := range described {
		t.Errorf("%s is described and not served", path)
	}
}

// The check that all others rest on finds what it should.
func TestContractFindsFaults(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	good := `{"scale":2,"retention":"7d","retention_seconds":1,"rules":[]}`
	for name, x := range map[string]struct {
		target, kind, body string
		status             int
		fine               bool
	}{
		"good":                       {"/api/v1/rules", "application/json", good, 200, true},
		"a member of another type":   {"/api/v1/rules", "application/json", strings.Replace(good, "2", `"2"`, 1), 200, false},
		"a member missing":           {"/api/v1/rules", "application/json", `{"scale":2}`, 200, false},
		"a member too many":          {"/api/v1/rules", "application/json", strings.Replace(good, "{", `{"x":1,`, 1), 200, false},
		"another media type":         {"/api/v1/rules", "text/plain", good, 200, false},
		"no such path":               {"/api/v1/rule", "application/json", good, 200, false},
		"a parameter too many":       {"/api/v1/rules?x=1", "application/json", good, 200, false},
		"a parameter out of range":   {"/api/v1/users/1?rows=-1", "application/json", `{}`, 200, false},
		"an alert without its parts": {"/api/v1/users/1/alerts", "application/json", `{"alerts":[{"version":1}]}`, 200, false},
		"a problem":                  {"/api/v1/rules", "application/problem+json", `{"type":"urn:brimline:problem:x","title":"X","status":400,"detail":"d"}`, 400, true},
		"an error of the old shape":  {"/api/v1/rules", "application/problem+json", `{"error":{"kind":"x"}}`, 400, false},
	} {
		request := httptest.NewRequest(http.MethodGet, x.target, nil)
		response := &http.Response{StatusCode: x.status, Header: http.Header{"Content-Type": {x.kind}}}
		if complaints := c.complaints(request, response, []byte(x.body)); (len(complaints) == 0) != x.fine {
			t.Errorf("%s: %q", name, complaints)
		}
	}
}
