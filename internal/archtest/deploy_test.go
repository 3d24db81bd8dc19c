package archtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDockerfile checks what can be checked of deploy/Dockerfile without a container
// engine: instructions and stages exist, images are pinned, the program runs without
// root and tells its health, and what is copied is in the tree.
func TestDockerfile(t *testing.T) {
	known := strings.Fields("ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER VOLUME WORKDIR")
	image := regexp.MustCompile(`^[a-z0-9./-]+:[a-z0-9.-]*[0-9a-z-]+$`)

	var stages []string
	final := map[string]string{} // instruction of the last stage -> its arguments
	for _, in := range instructions(read(t, "deploy/Dockerfile")) {
		if !slices.Contains(known, in.name) {
			t.Errorf("instruction %s is not one this file uses", in.name)
		}
		final[in.name] = in.args
		words := strings.Fields(in.args)
		switch in.name {
		case "FROM":
			clear(final)
			if !image.MatchString(words[0]) || strings.HasSuffix(words[0], ":latest") {
				t.Errorf("FROM %s: want name:tag with a tag that does not move to another release", words[0])
			}
			if len(words) == 3 && words[1] == "AS" {
				stages = append(stages, words[2])
			}
		case "COPY":
			from, sources := "", words[:len(words)-1]
			for len(sources) > 0 && strings.HasPrefix(sources[0], "--") {
				if v, ok := strings.CutPrefix(sources[0], "--from="); ok {
					from = v
				}
				sources = sources[1:]
			}
			if from != "" {
				if !slices.Contains(stages, from) {
					t.Errorf("COPY --from=%s: stages are %v", from, stages)
				}
				continue
			}
			for _, src := range sources {
				if m, err := filepath.Glob(filepath.Join(root, src)); err != nil || len(m) == 0 {
					t.Errorf("COPY %s: not in the tree", src)
				}
			}
		case "ENTRYPOINT", "CMD":
			var argv []string
			if err := json.Unmarshal([]byte(in.args), &argv); err != nil {
				t.Errorf("%s %s: not the JSON form, so a shell would stand between us and SIGTERM", in.name, in.args)
			}
		}
	}
	for _, need := range []string{"USER", "HEALTHCHECK", "EXPOSE", "VOLUME", "ENTRYPOINT"} {
		if final[need] == "" {
			t.Errorf("the last stage has no %s", need)
		}
	}
	if u := final["USER"]; u == "root" || strings.HasPrefix(u, "0") {
		t.Errorf("the last stage runs as %s", u)
	}
}

// TestImageGo keeps the image's Go and go.mod's together.
func TestImageGo(t *testing.T) {
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if m == nil {
		t.Fatal("go.mod has no go line")
	}
	if want := "golang:" + m[1]; !strings.Contains(read(t, "deploy/Dockerfile"), want) {
		t.Errorf("deploy/Dockerfile does not build with %s, the version of go.mod", want)
	}
}

// TestScriptsRun proves that what make and CI start by name can be started.
func TestScriptsRun(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(root, "scripts", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(scripts, filepath.Join(root, ".ci", "run")) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable", path)
		}
	}
}

type instruction struct{ name, args string }

// instructions splits a Dockerfile, joining continued lines.
func instructions(text string) []instruction {
	var all []instruction
	var open string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		open += strings.TrimSuffix(line, `\`)
		if strings.HasSuffix(line, `\`) {
			continue
		}
		name, args, _ := strings.Cut(open, " ")
		all = append(all, instruction{name, strings.TrimSpace(args)})
		open = ""
	}
	return all
}
