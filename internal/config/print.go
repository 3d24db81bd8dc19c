package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Print writes c as a configuration file: every key with its doc as a comment and
// its value. Load reads it back to the same Config, except for passwords, which
// are printed as Redact does.
func Print(w io.Writer, c Config) error {
	p, err := parser(&Flags{Config: c})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("# Configuration of Sluice. Each key is also a flag (--data-dir) and an\n" +
		"# environment variable (SLUICE_DATA_DIR); flags win over the environment,\n" +
		"# the environment over this file.\n")
	for _, f := range p.Model.Flags {
		if f.Name == "config" {
			continue
		}
		text, err := yamlText(f)
		if err != nil {
			return fmt.Errorf("config: print %s: %w", f.Name, err)
		}
		b.WriteByte('\n')
		comment(&b, f.Help)
		if f.Default != "" {
			comment(&b, "Default: "+f.Default)
		}
		fmt.Fprintf(&b, "%s: %s\n", f.Name, text)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// yamlText is the value of f as a YAML scalar. Strings are quoted as in JSON, which
// YAML reads alike, so that no text turns into another type.
func yamlText(f *kong.Flag) (string, error) {
	text := fmt.Sprint(f.Target.Interface())
	switch v := f.Target.Interface().(type) {
	case bool, int:
		return text, nil
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(Redact(text))
	return strings.TrimSpace(b.String()), err
}

// comment writes s as comment lines of at most some 80 columns.
func comment(b *bytes.Buffer, s string) {
	col := 0
	for _, word := range strings.Fields(s) {
		if col == 0 || col+1+len(word) > 80 {
			if col > 0 {
				b.WriteByte('\n')
			}
			b.WriteByte('#')
			col = 1
		}
		b.WriteString(" " + word)
		col += 1 + len(word)
	}
	b.WriteByte('\n')
}

const redacted = "xxxxx"

// Redact returns s with the secrets of the URLs in it made unreadable: passwords and
// tokens before an @, and query parameters whose name says that they are secret. A
// text without "://" comes back as it is.
func Redact(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	list := strings.Split(s, "://") // one URL, or several: NATS takes a list, S3 has one in its query
	for i, part := range list[1:] {
		// The last @, wherever it stands: a password with an unescaped comma, slash
		// or question mark in it must not get through.
		if at := strings.LastIndexByte(part, '@'); at >= 0 {
			if user, _, ok := strings.Cut(part[:at], ":"); ok {
				part = user + ":" + redacted + part[at:]
			} else {
				part = redacted + part[at:] // NATS: a token; elsewhere: a name nobody needs
			}
		}
		if rest, query, ok := strings.Cut(part, "?"); ok {
			part = rest + "?" + redactQuery(query)
		}
		list[i+1] = part
	}
	return strings.Join(list, "://")
}

func redactQuery(q string) string {
	params := strings.Split(q, "&")
	for i, p := range params {
		name, _, ok := strings.Cut(p, "=")
		for _, word := range []string{"pass", "secret", "token", "credential"} {
			if ok && strings.Contains(strings.ToLower(name), word) {
				params[i] = name + "=" + redacted
			}
		}
	}
	return strings.Join(params, "&")
}
