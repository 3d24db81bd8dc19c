package node_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

// What clients are told: where the node is, from where they stand.
func TestAddresses(t *testing.T) {
	certificate := certify(t)
	for name, tt := range map[string]struct {
		with     func(*config.Config)
		base     string // prefix of Base
		playback string // prefix of a playback URL; "" for base
		path     string // that follows it
	}{
		"an address":                      {func(*config.Config) {}, "http://127.0.0.1:", "", "/live-video.net/api/video/v1/"},
		"every address is localhost here": {func(c *config.Config) { c.HTTP = ":0" }, "http://localhost:", "", "/live-video.net/api/video/v1/"},
		"every IPv4 address, too":         {func(c *config.Config) { c.HTTP = "0.0.0.0:0" }, "http://localhost:", "", "/live-video.net/api/video/v1/"},
		"a certificate makes it HTTPS": {
			func(c *config.Config) { c.TLSCert, c.TLSKey = certificate, certificate },
			"https://127.0.0.1:", "", "/live-video.net/api/video/v1/",
		},
		"a public URL": {
			func(c *config.Config) { c.PublicURL = "https://live.example.com" },
			"http://127.0.0.1:", "https://live.example.com", "/live-video.net/api/video/v1/",
		},
		"a public URL with a path": {
			func(c *config.Config) { c.PublicURL = "https://example.com/live" },
			"http://127.0.0.1:", "https://example.com/live", "/live-video.net/api/video/v1/",
		},
		"the short form": {func(c *config.Config) { c.PlaybackURLForm = "short" }, "http://127.0.0.1:", "", "/api/video/v1/"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := servertest.Start(t, tt.with)
			if !strings.HasPrefix(srv.Base, tt.base) || strings.HasSuffix(srv.Base, ":0") {
				t.Errorf("base %s, want %s<port>", srv.Base, tt.base)
			}
			want := tt.playback
			if want == "" {
				want = srv.Base
			}
			want += tt.path

			insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the certificate is self-made
			t.Cleanup(insecure.CloseIdleConnections)
			o := srv.IVS().Options()
			o.HTTPClient = insecure
			out, err := ivs.New(o).CreateChannel(t.Context(), &ivs.CreateChannelInput{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(*out.Channel.PlaybackUrl, want) {
				t.Errorf("playback URL %s, want %s...", *out.Channel.PlaybackUrl, want)
			}
			// The watch page plays from the public URL, or from where it was reached.
			_, id, _ := strings.Cut(*out.Channel.Arn, "/")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.Base+"/watch/"+id+"/info.json", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := insecure.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var info struct{ PlaybackURL string }
			if err := json.Unmarshal(b, &info); err != nil || !strings.HasPrefix(info.PlaybackURL, tt.playback+tt.path) {
				t.Errorf("watch page plays %s, %v, want %s%s...", b, err, tt.playback, tt.path)
			}
		})
	}
}

// certify makes a file with a certificate for 127.0.0.1 and its key.
func certify(t *testing.T) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file = filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpenPaths(t *testing.T) {
	srv := servertest.Start(t)
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/metrics": 200, "/watch/": 404, "/watch/x": 200,
		"/api/video/v1/us-west-2.1.channel.a.m3u8": 404, "/v1/live/": 404, // players' errors, see below
		"/ListChannels": 403, "/?Action=x": 403, "/favicon.ico": 403, "/watch": 403, "/metrics/": 403, // the API's
	} {
		status, header, body := servertest.Get(t, srv.Base+path)
		if status != want {
			t.Errorf("GET %s: %d %s, want %d", path, status, body, want)
		}
		if api := header.Get("x-amzn-ErrorType") != ""; api != (want == 403) {
			t.Errorf("GET %s: answered by the API: %t\n%v", path, api, header)
		}
		if player := strings.Contains(string(body), "transcode_does_not_exist"); player != strings.Contains(path, "/v") {
			t.Errorf("GET %s: answered by playback: %t", path, player)
		}
	}
}
