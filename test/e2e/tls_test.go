package e2e

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice/internal/cert"
	"github.com/sluice-live/sluice/internal/servertest"
)

// certificate makes a file with a certificate and its key.
func certificate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := cert.Self(dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v, want one file", files, err)
	}
	return files[0]
}

// A certificate that is replaced on disk, as certbot does, is the one of the next
// handshake over RTMPS and HTTPS, without a restart; connections stay as they are.
func TestCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	file := certificate(t)
	srv := serve(t, dataDir(t), "--tls-cert", file, "--tls-key", file)
	served := func(addr string) (serial string, conn *tls.Conn) {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which one it is, is the question
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String(), c
	}
	before, encoder := served(srv.RTMPS)
	if viewer, _ := served(srv.HTTP); viewer != before {
		t.Errorf("HTTPS has certificate %s, RTMPS %s", viewer, before)
	}
	if err := os.Rename(certificate(t), file); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{srv.RTMPS, srv.HTTP} {
		servertest.Eventually(t, "the new certificate is served", func() bool {
			now, c := served(addr)
			_ = c.Close() // one address may have so many that do not publish
			return now != before
		})
	}
	if _, err := encoder.Write([]byte{3}); err != nil { // RTMP's version
		t.Errorf("a connection from before: %v", err)
	}
	if _, err := tls.Dial("tcp", srv.RTMPS, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // what must fail
		t.Error("RTMPS takes TLS 1.1")
	}
}
