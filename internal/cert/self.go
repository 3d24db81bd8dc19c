package cert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	selfFile = "self-signed.pem" // certificate and key in one, so that they change together

	validFor   = 365 * 24 * time.Hour
	renewAhead = 30 * 24 * time.Hour
	skew       = time.Hour // of clients whose clock is behind
)

// Self serves a self-made certificate: ECDSA P-256, for localhost, the loopback
// addresses and hosts (names or addresses). It is kept in dir, readable by its owner
// alone, and made anew when there is none, when it does not cover hosts, and 30 days
// before it expires, which running programs notice too.
func Self(dir string, hosts ...string) (Get, error) {
	s := &self{file: filepath.Join(dir, selfFile), hosts: append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)}
	if err := s.load(time.Now()); err != nil {
		return nil, err
	}
	return s.get, nil
}

// LocalHosts returns this machine's host name and the addresses of its interfaces:
// what clients nearby may call it.
func LocalHosts() []string {
	var hosts []string
	if name, err := os.Hostname(); err == nil && name != "" {
		hosts = append(hosts, name)
	}
	addrs, _ := net.InterfaceAddrs() // without them the name must do
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			hosts = append(hosts, p.Addr().WithZone("").String())
		}
	}
	return hosts
}

type self struct {
	file  string
	hosts []string

	mu   sync.Mutex
	cert *tls.Certificate // guarded by mu
}

func (s *self) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !s.good(s.cert, now) {
		if err := s.load(now); err != nil {
			return nil, err
		}
	}
	return s.cert, nil
}

// good reports whether c can be served at now and for long enough.
func (s *self) good(c *tls.Certificate, now time.Time) bool {
	return c.Leaf.NotBefore.Before(now) && now.Add(renewAhead).Before(c.Leaf.NotAfter) &&
		!slices.ContainsFunc(s.hosts, func(h string) bool { return c.Leaf.VerifyHostname(h) != nil })
}

// load takes the certificate from the file or, when that does not do, makes one.
// s.mu is held, or s is not shared yet.
func (s *self) load(now time.Time) error {
	b, err := os.ReadFile(s.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cert: %w", err)
	}
	if c, err := tls.X509KeyPair(b, b); err == nil && s.good(&c, now) {
		s.cert = &c
		return nil
	} // else it is missing, damaged, old or for other hosts: nothing worth keeping
	if b, err = s.generate(now); err != nil {
		return fmt.Errorf("cert: self-made: %w", err)
	}
	c, err := tls.X509KeyPair(b, b)
	if err != nil {
		return fmt.Errorf("cert: self-made: %w", err)
	}
	if err := replace(s.file, b); err != nil {
		return fmt.Errorf("cert: keep self-made: %w", err)
	}
	s.cert = &c
	return nil
}

// generate returns a fresh certificate and its key as PEM.
func (s *self) generate(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Sluice self-made"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(validFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range s.hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = errors.Join(pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return b.Bytes(), err
}

// replace writes b to name, 0600, so that name is always a whole file.
func replace(name string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), selfFile+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, werr := f.Write(b)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
