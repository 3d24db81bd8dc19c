// Package cert provides the certificates of TLS listeners as functions for
// tls.Config.GetCertificate: from files that may change while the program runs, or
// self-made and kept in the data directory. It asks no authority for certificates.
package cert

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Get is what tls.Config.GetCertificate wants. It may be called concurrently.
type Get = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// recheck is how long a certificate is used before its files are looked at again.
const recheck = 5 * time.Second

// Files serves the PEM certificate chain and key in two files. They are read now, an
// error being the caller's, and again by a handshake that finds either changed. A
// change that does not load (half of it may be written yet) is logged, and the
// certificate before it serves on.
func Files(log *slog.Logger, certFile, keyFile string) (Get, error) {
	f := &files{log: log, certFile: certFile, keyFile: keyFile}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	return f.get, nil
}

type files struct {
	log               *slog.Logger
	certFile, keyFile string

	mu      sync.Mutex
	cert    *tls.Certificate // guarded by mu, as is all below
	seen    [2]stamp         // of the files cert was loaded from, or failed to
	checked time.Time
}

// A stamp tells one version of a file from the next.
type stamp struct {
	mtime time.Time
	size  int64
}

func (f *files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < recheck {
		return f.cert, nil
	}
	f.checked = time.Now()
	seen, err := f.stamps()
	if err == nil && seen != f.seen {
		err = f.load()
	}
	if err != nil {
		f.log.Warn("certificate not reloaded", slog.Any("err", err))
	}
	return f.cert, nil
}

// load reads the files; f.mu is held, or f is not shared yet.
func (f *files) load() error {
	seen, err := f.stamps() // before reading: a change in between is seen next time
	if err != nil {
		return err
	}
	f.seen = seen
	c, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil {
		return fmt.Errorf("cert: %s, %s: %w", f.certFile, f.keyFile, err)
	}
	f.cert = &c
	return nil
}

func (f *files) stamps() (s [2]stamp, err error) {
	for i, name := range []string{f.certFile, f.keyFile} {
		fi, err := os.Stat(name)
		if err != nil {
			return s, fmt.Errorf("cert: %w", err)
		}
		s[i] = stamp{fi.ModTime(), fi.Size()}
	}
	return s, nil
}
