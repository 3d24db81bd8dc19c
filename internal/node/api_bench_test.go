package node_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/node"
)

// How many objects a signed GetChannel may allocate, from its first byte on the socket to
// its last: HTTP, signature, policies, the store, JSON, metrics and log. The race detector
// makes pools forget, which costs 15.
func TestGetChannelAllocatesLittle(t *testing.T) {
	for name, tt := range map[string]struct {
		cache config.Bytes
		most  float64
	}{
		"from memory": {1 << 20, 120},
		"from SQLite": {0, 180},
	} {
		t.Run(name, func(t *testing.T) {
			c := startAPI(t, func(cfg *config.Config) { cfg.StoreCache = tt.cache })
			get := c.sign(t, "GetChannel", `{"arn":"`+c.channel(t)+`"}`)
			n := testing.AllocsPerRun(200, func() { c.call(t, get) })
			t.Logf("%.0f allocations", n)
			if n > tt.most {
				t.Errorf("GetChannel allocates %.0f objects, want at most %.0f", n, tt.most)
			}
		})
	}
}

// What a call of the API costs in a server that holds some channels, over loopback and
// with the log written to nowhere.
func BenchmarkAPI(b *testing.B) {
	c := startAPI(b)
	for range 200 {
		c.call(b, c.sign(b, "CreateChannel", oneChannel))
	}
	for _, op := range [][2]string{
		{"GetChannel", `{"arn":"` + c.channel(b) + `"}`},
		{"ListChannels", `{"maxResults":50}`},
		{"CreateChannel", oneChannel},
	} {
		b.Run(op[0], func(b *testing.B) {
			b.ReportAllocs()
			req := c.sign(b, op[0], op[1])
			for b.Loop() {
				c.call(b, req)
			}
		})
	}
}

// An apiClient sends signed requests over one connection and allocates nothing itself.
type apiClient struct {
	ready node.Ready
	conn  net.Conn
	in    *bufio.Reader
}

// startAPI runs a node that writes its log to nowhere, but does write it.
func startAPI(t testing.TB, change ...func(*config.Config)) *apiClient {
	t.Helper()
	cfg, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	cfg.HTTP, cfg.RTMP, cfg.RTMPS, cfg.SRT, cfg.WebRTC = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "", ""
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	up, done := make(chan node.Ready, 1), make(chan error, 1)
	go func() {
		done <- node.Run(ctx, cfg, node.Options{Log: node.NewLogger(io.Discard, cfg), Ready: func(r node.Ready) { up <- r }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	c := &apiClient{}
	select {
	case c.ready = <-up:
	case err := <-done:
		done <- err
		t.Fatalf("it did not start: %v", err)
	}
	if c.conn, err = net.Dial("tcp", c.ready.HTTP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	c.in = bufio.NewReaderSize(c.conn, 64<<10)
	return c
}

// channel makes a channel and returns its ARN.
func (c *apiClient) channel(t testing.TB) string {
	t.Helper()
	var out struct{ Channel struct{ ARN string } }
	if err := json.Unmarshal(c.call(t, c.sign(t, "CreateChannel", oneChannel)), &out); err != nil {
		t.Fatal(err)
	}
	return out.Channel.ARN
}

const oneChannel = `{"name":"one","latencyMode":"LOW","type":"STANDARD","tags":{"k":"v"}}`

// sign returns the bytes of a signed request, good for some minutes.
func (c *apiClient) sign(t testing.TB, operation, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.ready.Base+"/"+operation, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	cred := aws.Credentials{AccessKeyID: c.ready.AccessKeyID, SecretAccessKey: c.ready.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), cred, req, hex.EncodeToString(sum[:]), "ivs", c.ready.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// call sends a request and returns the body of its answer, which must be a success, until
// the next call.
func (c *apiClient) call(t testing.TB, req []byte) []byte {
	if _, err := c.conn.Write(req); err != nil {
		t.Fatal(err)
	}
	length := 0
	for n := 0; ; n++ {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			t.Fatal(err)
		}
		line = bytes.TrimSpace(line)
		if n == 0 && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			t.Fatalf("answer %q", line)
		}
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, d := range v {
				length = length*10 + int(d-'0')
			}
		}
	}
	body, err := c.in.Peek(length)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Discard(length); err != nil {
		t.Fatal(err)
	}
	return body
}
