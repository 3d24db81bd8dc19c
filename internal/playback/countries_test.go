package playback

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/prometheus/client_golang/prometheus"
)

// database writes a database in which one network has a record.
func database(t testing.TB, name, network string, record mmdbtype.Map) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	_, n, err := net.ParseCIDR(network)
	if err == nil {
		err = tree.Insert(n, record)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name + ".new")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.WriteTo(f)
	f.Close()
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func country(code string) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code), "names": mmdbtype.Map{"en": mmdbtype.String("x")}}}
}

func TestCountries(t *testing.T) {
	open := func(name string) (*Countries, error) {
		return OpenCountries(slog.New(slog.DiscardHandler), name, prometheus.NewRegistry())
	}
	name := filepath.Join(t.TempDir(), "db")
	database(t, name, "203.0.113.0/24", country("se"))
	c, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"203.0.113.7": "SE", "::ffff:203.0.113.7": "SE", "203.0.114.1": "", "2001:db8::1": "", "127.0.0.1": ""} {
		if got := c.Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}
	if got := c.Of(netip.Addr{}); got != "" {
		t.Errorf("no address is in %q", got)
	}
	if got := (*Countries)(nil).Of(netip.MustParseAddr("203.0.113.7")); got != "" {
		t.Errorf("without a database it is in %q", got)
	}
	for what, write := range map[string]func(name string) error{
		"no file":       func(string) error { return nil },
		"a directory":   func(name string) error { return os.Mkdir(name, 0o700) },
		"an empty file": func(name string) error { return os.WriteFile(name, nil, 0o600) },
		"text":          func(name string) error { return os.WriteFile(name, []byte("SE"), 0o600) },
		"a database without countries": func(name string) error {
			database(t, name, "203.0.113.0/24", mmdbtype.Map{"isp": mmdbtype.String("x")})
			return nil
		},
		"one whose countries are else": func(name string) error {
			database(t, name, "203.0.113.0/24", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.Uint32(7)}})
			return nil
		},
	} {
		name := filepath.Join(t.TempDir(), "db")
		if err := write(name); err != nil {
			t.Fatal(err)
		}
		if _, err := open(name); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestCountriesAreReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "db")
	database(t, name, "203.0.113.0/24", country("SE"))
	synctest.Test(t, func(t *testing.T) {
		c, err := OpenCountries(slog.New(slog.DiscardHandler), name, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		want := func(code, when string) {
			t.Helper()
			time.Sleep(2 * recheck)
			synctest.Wait()
			if got := c.Of(netip.MustParseAddr("203.0.113.7")); got != code {
				t.Errorf("%s it is in %q, want %q", when, got, code)
			}
		}
		want("SE", "at first")
		database(t, name, "203.0.112.0/23", country("NO")) // of another size
		want("NO", "after a change")
		if err := os.WriteFile(name, []byte("half a data"), 0o600); err != nil {
			t.Fatal(err)
		}
		want("NO", "while the file is damaged")
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		want("NO", "while it is gone")
		database(t, name, "203.0.0.0/16", country("DK"))
		want("DK", "when it is back")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
