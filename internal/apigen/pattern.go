package apigen

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// javaOnly are parts of Java's regular expressions that RE2 lacks or reads another
// way. A pattern with one of them is refused rather than guessed at.
var javaOnly = regexp.MustCompile(`\(\?|&&|\\[sSbBwWdDhHvVRXGAzZQEkxu0-9]|[*+?}]\+`)

// notTerminator is Java's '.': any character that ends no line. RE2's takes \r.
const notTerminator = `[^\n\r\x{85}\x{2028}\x{2029}]`

// TranslatePattern turns a pattern of a model, which AWS matches against the whole
// value with Java's rules, into a Go pattern that accepts the same strings.
func TranslatePattern(java string) (string, error) {
	if bad := javaOnly.FindString(java); bad != "" {
		return "", fmt.Errorf("pattern %q: %q does not mean the same in Go", java, bad)
	}
	var b strings.Builder
	b.WriteString(`\A(?:`)
	for i := 0; i < len(java); i++ {
		switch c := java[i]; c {
		case '\\':
			n := escape(java[i:])
			b.WriteString(java[i : i+n])
			i += n - 1
		case '.':
			b.WriteString(notTerminator)
		case '[':
			n, err := class(&b, java[i:])
			if err != nil {
				return "", fmt.Errorf("pattern %q: %w", java, err)
			}
			i += n - 1
		default:
			b.WriteByte(c)
		}
	}
	b.WriteString(`)\z`)
	if _, err := regexp.Compile(b.String()); err != nil {
		return "", fmt.Errorf("pattern %q: %w", java, err)
	}
	return b.String(), nil
}

// escape is the length of the escape at the start of p: \. or \p{L}.
func escape(p string) int {
	if strings.HasPrefix(p, `\p{`) {
		if end := strings.IndexByte(p, '}'); end > 0 {
			return end + 1
		}
	}
	return min(2, len(p))
}

// class copies the character class at the start of p to b and returns its length. A
// '-' that makes no range ("0-9-_", or at an end) is a character in Java; escaped, it
// is one in every dialect.
func class(b *strings.Builder, p string) (int, error) {
	i := 1
	if strings.HasPrefix(p, "[^") {
		i = 2
	}
	b.WriteString(p[:i])
	for start := i; i < len(p); {
		switch c := p[i]; {
		case c == ']' && i > start:
			b.WriteByte(c)
			return i + 1, nil
		case c == '[', c == ']':
			return 0, fmt.Errorf("%q inside a class does not mean the same in Go", string(c))
		case c == '-':
			b.WriteString(`\-`)
			i++
		default:
			n := 1
			if c == '\\' {
				n = escape(p[i:])
			}
			if i+n+1 < len(p) && p[i+n] == '-' && p[i+n+1] != ']' {
				// A range: its end is one character, perhaps escaped.
				n++
				if p[i+n] == '\\' {
					n += escape(p[i+n:])
				} else {
					n++
				}
			}
			b.WriteString(p[i:min(i+n, len(p))])
			i += n
		}
	}
	return 0, fmt.Errorf("a class has no end")
}

// goString quotes a pattern as Go source that stays readable.
func goString(s string) string {
	if strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return strconv.Quote(s)
}
