package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

const (
	envPrefix = "SLUICE_"

	// Variables under the prefix that are not keys.
	envFile      = envPrefix + "CONFIG"            // the file, as --config
	envKeyID     = envPrefix + "ACCESS_KEY_ID"     // see AdminKey
	envSecret    = envPrefix + "SECRET_ACCESS_KEY" // see AdminKey
	envForTests  = envPrefix + "TEST_"             // steers the tests; never the program
	maxFileBytes = 1 << 20
)

// Resolver returns the kong option that takes the keys of Flags from environ (in the
// form of os.Environ) and from the file it or --config names. kong's own handling of
// environment variables must stay off: it would read the process's.
func Resolver(environ []string) kong.Option {
	return kong.Resolvers(&resolver{environ: environ})
}

// resolver serves one parse.
type resolver struct {
	environ []string
	loaded  bool
	values  map[string]value // by key
	err     error            // of loading; fails every Resolve
}

// A value is the text of a key and the place it came from, for error messages.
type value struct{ text, from string }

// Validate has nothing left to check: unknown keys fail when they are loaded.
func (r *resolver) Validate(*kong.Application) error { return nil }

// Resolve gives kong the text for one flag that the command line did not set.
func (r *resolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !r.loaded {
		r.loaded = true
		r.values, r.err = load(r.environ, fileFlag(ctx))
	}
	if r.err != nil {
		return nil, r.err
	}
	v, ok := r.values[flag.Name]
	if !ok {
		return nil, nil // kong's way to say: not mine
	}
	// kong would report a bad value without telling where it stands.
	scratch := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Parse(kong.Scan().PushTyped(v.text, kong.FlagValueToken), scratch); err != nil {
		return nil, fmt.Errorf("in %s: %w", v.from, err)
	}
	return v.text, nil
}

// fileFlag returns the value of --config on the command line, "" without one.
func fileFlag(ctx *kong.Context) string {
	for _, f := range ctx.Flags() {
		if f.Name == "config" {
			s, _ := ctx.FlagValue(f).(string)
			return s
		}
	}
	return ""
}

// load reads the environment and the file and lays the one over the other.
func load(environ []string, file string) (map[string]value, error) {
	known, err := keys()
	if err != nil {
		return nil, err
	}
	over, envFile, err := fromEnv(environ, known)
	if err != nil {
		return nil, err
	}
	if file == "" {
		file = envFile
	}
	if file == "" {
		return over, nil
	}
	values, err := fromFile(file, known)
	if err != nil {
		return nil, err
	}
	for k, v := range over {
		values[k] = v
	}
	return values, nil
}

// keys lists every key.
func keys() ([]string, error) {
	p, err := parser(&Flags{})
	if err != nil {
		return nil, err
	}
	var list []string
	for _, f := range p.Model.Flags {
		if f.Name != "config" {
			list = append(list, f.Name)
		}
	}
	return list, nil
}

// envName is the variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

func fromEnv(environ, known []string) (values map[string]value, file string, err error) {
	byName := make(map[string]string, len(known))
	for _, k := range known {
		byName[envName(k)] = k
	}
	values = map[string]value{}
	var unknown []string
	for _, kv := range environ {
		name, text, _ := strings.Cut(kv, "=")
		switch key, ok := byName[name]; {
		case ok:
			values[key] = value{text, name}
		case name == envFile:
			file = text
		case !strings.HasPrefix(name, envPrefix), name == envKeyID, name == envSecret, strings.HasPrefix(name, envForTests):
		default:
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, "", fmt.Errorf("unknown environment variable %s", strings.Join(unknown, ", "))
	}
	return values, file, nil
}

// fromFile reads a YAML mapping of keys to scalars or lists of scalars. The text of
// a scalar is taken as it stands, so 012345678901 stays an account id.
func fromFile(name string, known []string) (map[string]value, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFileBytes)
	}
	values, err := parseFile(b, known)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for k, v := range values {
		values[k] = value{v.text, name + ":" + v.from}
	}
	return values, nil
}

// parseFile is fromFile on the bytes; from is the line.
func parseFile(b []byte, known []string) (map[string]value, error) {
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	values := make(map[string]value, len(doc))
	var errs []error
	for key, n := range doc {
		text, err := nodeText(&n)
		switch {
		case !slices.Contains(known, key):
			errs = append(errs, fmt.Errorf("line %d: unknown key %q", n.Line, key))
		case err != nil:
			errs = append(errs, fmt.Errorf("line %d: %s: %w", n.Line, key, err))
		default:
			values[key] = value{text, fmt.Sprint(n.Line)}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return values, errors.Join(errs...)
}

func nodeText(n *yaml.Node) (string, error) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "", errors.New(`has no value; write "" for an empty one`)
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.SequenceNode:
		list := make([]string, len(n.Content))
		for i, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return "", errors.New("want a list of plain values")
			}
			list[i] = c.Value
		}
		return strings.Join(list, ","), nil
	}
	return "", errors.New("want a plain value or a list of them")
}

// AdminKey returns the administrator's access key that environ sets with
// SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY, or two empty strings. They are
// not keys of Config: a secret has no place in a printed configuration or on a
// command line.
func AdminKey(environ []string) (id, secret string, err error) {
	for _, kv := range environ {
		switch name, v, _ := strings.Cut(kv, "="); name {
		case envKeyID:
			id = v
		case envSecret:
			secret = v
		}
	}
	const digitsAndLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	switch {
	case id == "" && secret == "":
		return "", "", nil
	case id == "" || secret == "":
		return "", "", fmt.Errorf("config: %s and %s: set both or neither", envKeyID, envSecret)
	case len(id) < 16 || len(id) > 128 || strings.Trim(id, digitsAndLetters) != "":
		return "", "", fmt.Errorf("config: %s: %q: want 16 to 128 letters, digits and _", envKeyID, id)
	case len(secret) < 16 || len(secret) > 128 || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", "", fmt.Errorf("config: %s: want 16 to 128 printable ASCII characters without blanks", envSecret)
	}
	return id, secret, nil
}
