package config

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Role is a part of the program that a node can run.
type Role string

// The roles there are.
const (
	Control Role = "control" // the API
	Media   Role = "media"   // ingest, packaging and origin
	Edge    Role = "edge"    // playback of the streams of other nodes
)

const allRoles = "all"

// Roles is the set of roles a node runs, in a fixed order.
type Roles []Role

// every lists all roles in the order of Roles.
func every() Roles { return Roles{Control, Media, Edge} }

// Has reports whether r is in the set.
func (s Roles) Has(r Role) bool { return slices.Contains(s, r) }

// MarshalText writes what UnmarshalText reads; all roles are "all".
func (s Roles) MarshalText() ([]byte, error) {
	if slices.Equal(s, every()) {
		return []byte(allRoles), nil
	}
	var b bytes.Buffer
	for i, r := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(r))
	}
	return b.Bytes(), nil
}

// UnmarshalText reads "all" or a comma-separated list.
func (s *Roles) UnmarshalText(text []byte) error {
	names := split(string(text))
	if len(names) == 0 {
		return fmt.Errorf("want %s or a list of %s", allRoles, join(every()))
	}
	set := Roles{}
	for _, n := range names {
		switch r := Role(n); {
		case n == allRoles && len(names) == 1:
			set = every()
		case every().Has(r):
			set = append(set, r)
		default:
			return fmt.Errorf("%q is not a role: want %s or a list of %s", n, allRoles, join(every()))
		}
	}
	*s = slices.DeleteFunc(every(), func(r Role) bool { return !set.Has(r) })
	return nil
}

func join(s Roles) string {
	names := make([]string, len(s))
	for i, r := range s {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// CIDRs is a list of networks.
type CIDRs []netip.Prefix

// MarshalText writes what UnmarshalText reads.
func (c CIDRs) MarshalText() ([]byte, error) {
	var b []byte
	for i, p := range c {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.AppendTo(b)
	}
	return b, nil
}

// UnmarshalText reads a comma-separated list of CIDRs; an address alone is a
// network of one.
func (c *CIDRs) UnmarshalText(text []byte) error {
	var list CIDRs
	for _, s := range split(string(text)) {
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return fmt.Errorf("%q is neither a CIDR nor an address", s)
		}
		list = append(list, p.Masked())
	}
	*c = list
	return nil
}

// URL is a base URL that paths are appended to; it never ends in a slash.
type URL string

// UnmarshalText takes any text: Validate has the rule.
func (u *URL) UnmarshalText(text []byte) error {
	*u = URL(strings.TrimRight(string(text), "/"))
	return nil
}

// Bytes is a size.
type Bytes int64

// units are the units a size may have, largest first.
func units() []struct {
	name string
	size Bytes
} {
	return []struct {
		name string
		size Bytes
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// String writes what UnmarshalText reads, in the largest unit that fits.
func (b Bytes) String() string {
	for _, u := range units() {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText writes what UnmarshalText reads.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a number of bytes, or of KiB, MiB or GiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), Bytes(1)
	for _, u := range units() {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("%q is no size: want a number of bytes, or one with KiB, MiB or GiB", text)
	}
	*b = Bytes(n) * unit
	return nil
}

// AuditDir is the directory of the audit log, "" when there is none.
func (c *Config) AuditDir() string {
	switch c.Audit {
	case "off":
		return ""
	case "on":
		return filepath.Join(c.DataDir, "audit")
	}
	return c.Audit
}

// split cuts s at commas and drops blanks around the pieces and empty pieces.
func split(s string) []string {
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}
