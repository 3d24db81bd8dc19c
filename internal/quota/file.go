package quota

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Names of the built-in profiles.
const (
	NameSelfHosted = "self-hosted"
	NameAWS        = "aws"
)

const (
	maxFileBytes = 256 << 10
	maxLimit     = 1_000_000_000
	noLimit      = "none"
)

// Load returns the profile of that name, or the one in the file of that name.
func Load(name string) (Profile, error) {
	if p, ok := builtIn(name); ok {
		return p, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return Profile{}, fmt.Errorf("quota: %q is neither %s nor %s nor a file: %w", name, NameAWS, NameSelfHosted, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return Profile{}, fmt.Errorf("quota: %w", err)
	}
	if len(b) > maxFileBytes {
		return Profile{}, fmt.Errorf("quota: %s: larger than %d bytes", name, maxFileBytes)
	}
	p, err := Parse(b)
	if err != nil {
		return Profile{}, fmt.Errorf("quota: %s: %w", name, err)
	}
	return p, nil
}

func builtIn(name string) (Profile, bool) {
	switch name {
	case NameSelfHosted:
		return SelfHosted(), true
	case NameAWS:
		return AWS(), true
	}
	return Profile{}, false
}

// file is a Profile as a file has it.
type file struct {
	Base    string `yaml:"base"`
	Profile `yaml:",inline"`
}

// Parse reads a profile: what the text sets, over the built-in profile that its key base
// names (self-hosted without one). A key or an operation nobody knows is an error.
func Parse(text []byte) (Profile, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return Profile{}, err
	}
	if n := valueless(&doc); n != nil { // YAML would take it for what base says
		return Profile{}, fmt.Errorf("line %d: a key has no value; write %s for no limit", n.Line, noLimit)
	}
	var base struct {
		Base string `yaml:"base"`
	}
	if err := doc.Decode(&base); err != nil {
		return Profile{}, err
	}
	if base.Base == "" {
		base.Base = NameSelfHosted
	}
	var (
		f  file
		ok bool
	)
	if f.Profile, ok = builtIn(base.Base); !ok {
		return Profile{}, fmt.Errorf("base: %q: want %s or %s", base.Base, NameAWS, NameSelfHosted)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) { // EOF: nothing but comments
		return Profile{}, err
	}
	if err := d.Decode(new(file)); !errors.Is(err, io.EOF) {
		return Profile{}, errors.New("more than one document")
	}
	return f.Profile, f.Validate()
}

// valueless finds a null below n.
func valueless(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return n
	}
	for _, c := range n.Content {
		if found := valueless(c); found != nil {
			return found
		}
	}
	return nil
}

// UnmarshalYAML reads a number from 1, or none.
func (l *Limit) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Value == noLimit {
		*l = None
		return nil
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 1 || v > maxLimit {
		return fmt.Errorf("line %d: %q: want a number from 1 to %d, or %s", n.Line, n.Value, maxLimit, noLimit)
	}
	*l = Limit(v)
	return nil
}

// String is what UnmarshalYAML reads.
func (l Limit) String() string {
	if l == None {
		return noLimit
	}
	return strconv.FormatInt(int64(l), 10)
}

// Validate returns nil or every rule that p breaks.
func (p *Profile) Validate() error {
	var errs []error
	known := AWS()
	for _, s := range []struct {
		service     string
		have, known Rates
		limits      any
	}{{"ivs", p.IVS.Rates, known.IVS.Rates, p.IVS}, {"ivschat", p.Chat.Rates, known.Chat.Rates, p.Chat}} {
		for _, op := range slices.Sorted(maps.Keys(s.have)) {
			if _, ok := s.known[op]; !ok {
				errs = append(errs, fmt.Errorf("%s: requests-per-second: unknown operation %q", s.service, op))
			}
		}
		for f, v := range limits(s.limits) {
			most := f.Tag.Get("max")
			if most == "" {
				continue
			}
			if n, err := strconv.ParseInt(most, 10, 64); err != nil || v == None || int64(v) > n {
				errs = append(errs, fmt.Errorf("%s: %s: %s: want 1 to %s", s.service, f.Tag.Get("yaml"), v, most))
			}
		}
	}
	return errors.Join(errs...)
}

// limits yields the fields of an IVS or a Chat that are one Limit, in order.
func limits(service any) func(yield func(reflect.StructField, Limit) bool) {
	v := reflect.ValueOf(service)
	return func(yield func(reflect.StructField, Limit) bool) {
		for f, x := range v.Fields() {
			if l, ok := x.Interface().(Limit); ok && !yield(f, l) {
				return
			}
		}
	}
}

// Print writes p as a file that Load reads back to the same profile: every limit, what
// it means and what it is.
func Print(w io.Writer, p Profile) error {
	var b strings.Builder
	b.WriteString("# Limits of Sluice, for --quotas. Each counts per account and region unless its name\n" +
		"# says of what; a limit is a number from 1, or none. What is left out is as in base:\n" +
		"# aws (the published quotas) or self-hosted (only what clients rely on).\n" +
		"base: " + NameSelfHosted + "\n")
	known := AWS()
	for _, s := range []struct {
		service     string
		have, known Rates
		limits      any
	}{{"ivs", p.IVS.Rates, known.IVS.Rates, p.IVS}, {"ivschat", p.Chat.Rates, known.Chat.Rates, p.Chat}} {
		fmt.Fprintf(&b, "\n%s:\n", s.service)
		for f, v := range reflect.ValueOf(s.limits).Fields() {
			fmt.Fprintf(&b, "  # %s\n  %s:", f.Tag.Get("doc"), f.Tag.Get("yaml"))
			if l, ok := v.Interface().(Limit); ok {
				fmt.Fprintf(&b, " %s\n", l)
				continue
			}
			b.WriteByte('\n')
			for _, op := range slices.Sorted(maps.Keys(s.known)) {
				fmt.Fprintf(&b, "    %s: %s\n", op, s.have[op])
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
