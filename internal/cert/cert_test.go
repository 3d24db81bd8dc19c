package cert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func serial(t *testing.T, get Get) string {
	t.Helper()
	c, err := get(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber.String()
}

func selfMade(t *testing.T, dir string, hosts ...string) Get {
	t.Helper()
	get, err := Self(dir, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return get
}

// A client that trusts the certificate can call the server by every name it has.
func TestSelfHandshake(t *testing.T) {
	get := selfMade(t, t.TempDir(), "ingest.example", "192.0.2.7")
	c, err := get(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.Leaf)
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "ingest.example", "192.0.2.7"} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- tls.Server(server, &tls.Config{GetCertificate: get}).Handshake() }()
		if err := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: host}).Handshake(); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: server: %v", host, err)
		}
		client.Close()
		server.Close()
	}
}

func TestSelfIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		then  func(t *testing.T, file string) // between the two starts
		hosts []string                        // at the second start
		same  bool
	}{
		"a restart takes the same one": {then: func(*testing.T, string) {}, hosts: []string{"a.example"}, same: true},
		"so does one with fewer hosts": {then: func(*testing.T, string) {}, same: true},
		"a new host needs a new one":   {then: func(*testing.T, string) {}, hosts: []string{"b.example"}},
		"a damaged file is replaced": {then: func(t *testing.T, file string) {
			if err := os.Truncate(file, 100); err != nil {
				t.Fatal(err)
			}
		}},
		"a month before its end it is replaced": {then: func(*testing.T, string) { time.Sleep(validFor - renewAhead) }},
		"a day earlier it is not":               {then: func(*testing.T, string) { time.Sleep(validFor - renewAhead - 24*time.Hour) }, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				first := serial(t, selfMade(t, dir, "a.example"))
				tt.then(t, filepath.Join(dir, selfFile))
				if second := serial(t, selfMade(t, dir, tt.hosts...)); (first == second) != tt.same {
					t.Errorf("serial %s, then %s, want same=%t", first, second, tt.same)
				}
				fi, err := os.Stat(filepath.Join(dir, selfFile))
				if err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("file mode %v, %v, want 0600", fi.Mode(), err)
				}
				if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
					t.Errorf("directory holds %v, %v, want one file", names, err)
				}
			})
		})
	}
}

func TestSelfRenewsWhileRunning(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		get := selfMade(t, dir)
		first := serial(t, get)
		time.Sleep(validFor - renewAhead)
		second := serial(t, get)
		if first == second {
			t.Error("the certificate was not renewed")
		}
		if again := serial(t, get); again != second {
			t.Error("the certificate was renewed twice")
		}
	})
}

func TestSelfNeedsItsDirectory(t *testing.T) {
	if _, err := Self(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Self in a missing directory worked")
	}
}

func TestFiles(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	one, err := os.ReadFile(made(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(made(t, other))
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, b []byte, at time.Time) string {
		t.Helper()
		name := filepath.Join(dir, "cert.pem")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
		return name
	}
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		name := write(t, one, time.Now())
		get, err := Files(slog.New(slog.NewTextHandler(&logged, nil)), name, name)
		if err != nil {
			t.Fatal(err)
		}
		first := serial(t, get)

		time.Sleep(recheck)
		write(t, two[:50], time.Now())
		if got := serial(t, get); got != first {
			t.Error("half a file replaced the certificate")
		}
		if n := strings.Count(logged.String(), "not reloaded"); n != 1 {
			t.Errorf("logged %d times, want once: %s", n, &logged)
		}

		time.Sleep(recheck)
		write(t, two, time.Now())
		second := serial(t, get)
		if second == first {
			t.Error("the changed file was not read")
		}

		time.Sleep(recheck)
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if got := serial(t, get); got != second {
			t.Error("a missing file lost the certificate")
		}
	})
	if _, err := Files(quiet, "/nonexistent/c", "/nonexistent/k"); err == nil {
		t.Error("Files without files worked")
	}
}

// made returns the file of a fresh certificate.
func made(t *testing.T, dir string) string {
	t.Helper()
	selfMade(t, dir)
	return filepath.Join(dir, selfFile)
}
