package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	module = "github.com/sluice-live/sluice"
	root   = "../.." // tests run in their package's directory
)

// A pkg is one package as `go list` sees it.
type pkg struct {
	path string // inside the module: "internal/live"

	ImportPath  string
	Dir         string
	Imports     []string
	GoFiles     []string
	CgoFiles    []string
	TestGoFiles []string
	XTestGoFiles,
	IgnoredGoFiles []string
}

// packages lists the module's packages, also those that do not compile now (-e): that
// is for the compiler to say.
func packages(t *testing.T) []pkg {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(goTool(t, "list", "-e", "-json", "./...")))
	var all []pkg
	for {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("go list: %v", err)
		}
		p.path = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
}

// goTool runs go in the module's root and returns what it printed.
func goTool(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// read returns a file of the tree.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
