package archtest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDependencies keeps docs/dependencies.md and what we really depend on directly
// (Go modules, Go tools, npm packages) the same list.
func TestDependencies(t *testing.T) {
	var real []string
	for _, mod := range []string{"go.mod", "tools/go.mod", "test/tools/s3/go.mod"} {
		var m struct {
			Require []struct {
				Path     string
				Indirect bool
			}
			Tool []struct{ Path string }
		}
		if err := json.Unmarshal(goTool(t, "mod", "edit", "-json", mod), &m); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Require {
			if !r.Indirect {
				real = append(real, r.Path)
			}
		}
		for _, tool := range m.Tool {
			// A tool's path is a package's; its module is the longest prefix required.
			var owner string
			for _, r := range m.Require {
				if strings.HasPrefix(tool.Path, r.Path) && len(r.Path) > len(owner) {
					owner = r.Path
				}
			}
			real = append(real, owner)
		}
	}
	for _, manifest := range npmManifests(t) {
		var p struct{ Dependencies, DevDependencies map[string]string }
		if err := json.Unmarshal([]byte(read(t, manifest)), &p); err != nil {
			t.Fatal(err)
		}
		real = slices.AppendSeq(real, maps.Keys(p.Dependencies))
		real = slices.AppendSeq(real, maps.Keys(p.DevDependencies))
	}
	slices.Sort(real)
	real = slices.Compact(real)

	var listed []string
	for row := range tableRows(read(t, "docs/dependencies.md")) {
		// A row may stand for several modules that are one thing.
		for _, m := range code.FindAllStringSubmatch(row[0], -1) {
			listed = append(listed, m[1])
		}
	}
	for _, dep := range real {
		if !slices.Contains(listed, dep) {
			t.Errorf("%s has no line in docs/dependencies.md", dep)
		}
	}
	for _, dep := range listed {
		if !slices.Contains(real, dep) {
			t.Errorf("docs/dependencies.md lists %s, which nothing requires", dep)
		}
	}
}

// TestOperations proves that docs/compatibility.md says of each operation of each
// model, once, whether it works.
func TestOperations(t *testing.T) {
	doc := read(t, "docs/compatibility.md")
	for heading, file := range map[string]string{
		"## Amazon IVS Low-Latency Streaming API": "api/ivs.json",
		"## Amazon IVS Chat API":                  "api/ivschat.json",
	} {
		var model struct {
			Operations map[string]json.RawMessage
		}
		if err := json.Unmarshal([]byte(read(t, file)), &model); err != nil {
			t.Fatal(err)
		}
		_, section, ok := strings.Cut(doc, heading+"\n")
		if !ok {
			t.Fatalf("docs/compatibility.md has no section %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")

		listed := map[string]int{}
		for row := range tableRows(section) {
			if m := code.FindStringSubmatch(row[0]); m != nil {
				listed[m[1]]++
				if !slices.Contains([]string{"works", "partial", "not yet"}, row[1]) {
					t.Errorf("%s: %s: state %q is none of works, partial, not yet", heading, m[1], row[1])
				}
			}
		}
		for op := range model.Operations {
			if listed[op] != 1 {
				t.Errorf("%s lists %s %d times, want once", heading, op, listed[op])
			}
		}
		for op := range listed {
			if _, ok := model.Operations[op]; !ok {
				t.Errorf("%s lists %s, which is not in %s", heading, op, file)
			}
		}
	}
}

// TestLinks follows every relative link of every document.
func TestLinks(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			docs = append(docs, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), target)); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
}

var (
	code = regexp.MustCompile("`([^`]+)`")
	// link matches [text](target), ![text](target) and src="target".
	link = regexp.MustCompile(`(?:\]\(|src=")([^)"\s]+)[)"]`)
)

// tableRows yields the cells of each row of each Markdown table in text.
func tableRows(text string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
				continue
			}
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if len(cells) > 1 && !yield(cells) {
				return
			}
		}
	}
}

// npmManifests lists the package.json files of the tree.
func npmManifests(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{"web", "test"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			switch {
			case os.IsNotExist(err):
				return nil
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "node_modules":
				return filepath.SkipDir
			case d.Name() == "package.json":
				rel, err := filepath.Rel(root, path)
				all = append(all, rel)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
