package httpapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/brimline/brimline/docs"
)

// descriptionPath is where the API's description is served.
const descriptionPath = "/api/v1/openapi.yaml"

// openAPI describes the API but for the alert, whose schema is that of the topic.
//
//go:embed openapi.yaml
var openAPI string

// Description is the OpenAPI document that is served.
func Description() []byte {
	var schema map[string]any
	if err := json.Unmarshal(docs.AlertSchema, &schema); err != nil {
		panic(err) // every test meets it
	}
	// Within the document the schema is no document of its own.
	delete(schema, "$schema")
	delete(schema, "$id")
	alert, err := json.Marshal(schema)
	if err != nil {
		panic(err)
	}
	inside := strings.ReplaceAll(string(alert), `"#/$defs/`, `"#/components/schemas/Alert/$defs/`)
	const place = "    Alert: {} # docs/alert.schema.json\n"
	return []byte(strings.Replace(openAPI, place, "    Alert: "+inside+"\n", 1))
}

func description(base string) http.HandlerFunc {
	body := Description()
	if base != "" {
		body = bytes.Replace(body, []byte("\nservers:\n  - url: /\n"), []byte("\nservers:\n  - url: "+base+"\n"), 1)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
		_, _ = w.Write(body)
	}
}
