package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/servertest"
)

// TestCompatibilityTable asks the real handlers about every operation of every model
// and holds docs/compatibility.md against what they say.
func TestCompatibilityTable(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	for service, heading := range map[string]string{
		"ivs":     "## Amazon IVS Low-Latency Streaming API",
		"ivschat": "## Amazon IVS Chat API",
	} {
		states := operationStates(t, string(doc), heading)
		for name, op := range operations(t, service) {
			t.Run(service+"/"+name, func(t *testing.T) {
				path := strings.Replace(op.HTTP.RequestURI, "{resourceArn}", url.PathEscape("arn:aws:"+service+":us-west-2:123456789012:channel/AbsentAbsent"), 1)
				c := call{method: op.HTTP.Method, path: path, service: service}
				if op.HTTP.Method == http.MethodPost {
					c.body = []byte(`{}`)
				}
				a := send(t, c.sign(t, srv, admin(srv)))
				unknown := a.exception() == "UnknownOperationException"
				if unknown != (a.status == http.StatusNotFound && a.message() == "The requested operation is not known to this service.") {
					t.Errorf("%d %s %s: half an UnknownOperationException", a.status, a.exception(), a.body)
				}
				if a.status >= http.StatusInternalServerError {
					t.Errorf("%d %s %s", a.status, a.exception(), a.body)
				}
				state, listed := states[name]
				if works := state != "not yet"; !listed || works == unknown {
					t.Errorf("docs/compatibility.md says %q, the handler %d %s", state, a.status, a.exception())
				}
			})
		}
	}
}

type operation struct {
	HTTP struct {
		Method     string `json:"method"`
		RequestURI string `json:"requestUri"`
	} `json:"http"`
}

// operations reads the model of a service.
func operations(t *testing.T, service string) map[string]operation {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "api", service+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var model struct {
		Operations map[string]operation `json:"operations"`
	}
	if err := json.Unmarshal(b, &model); err != nil || len(model.Operations) == 0 {
		t.Fatalf("model of %s: %d operations, %v", service, len(model.Operations), err)
	}
	return model.Operations
}

// operationStates reads the table of operations under a heading.
func operationStates(t *testing.T, doc, heading string) map[string]string {
	t.Helper()
	_, section, ok := strings.Cut(doc, heading+"\n")
	if !ok {
		t.Fatalf("docs/compatibility.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	states := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		if name, ok := strings.CutPrefix(strings.TrimSpace(cells[1]), "`"); ok {
			states[strings.TrimSuffix(name, "`")] = strings.TrimSpace(cells[2])
		}
	}
	return states
}

func TestUnknownPathsAreUnknownOperations(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	for name, c := range map[string]call{
		"no such operation":          {path: "/DropDatabase", body: []byte(`{}`)},
		"another case":               {path: "/createchannel", body: []byte(`{}`)},
		"another method":             {method: http.MethodGet, path: "/CreateChannel"},
		"a path below one":           {path: "/CreateChannel/x", body: []byte(`{}`)},
		"an operation of ivschat":    {path: "/CreateRoom", body: []byte(`{}`)},
		"tags of nothing":            {method: http.MethodGet, path: "/tags/"},
		"the root, signed":           {path: "/", body: []byte(`{}`)},
		"a path with a NUL":          {path: "/%00", body: []byte(`{}`)},
		"an operation with a slash":  {path: "/%2FCreateChannel", body: []byte(`{}`)},
		"ivs's operation in ivschat": {path: "/CreateChannel", body: []byte(`{}`), service: "ivschat"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, c.sign(t, srv, admin(srv)))
			if a.status != http.StatusNotFound || a.exception() != "UnknownOperationException" {
				t.Errorf("%d %s %s, want 404 UnknownOperationException", a.status, a.exception(), a.body)
			}
		})
	}
}
