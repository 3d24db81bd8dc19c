// Package servertest boots the real program in a test: every listener on a free port,
// SQLite, the bus and blobs in a temporary directory, the log to the test. It is what
// `sluice serve` runs, in this process.
package servertest

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/node"
)

// A Server is a running program.
type Server struct {
	node.Ready
	Dir  string // its data directory
	stop func() error
}

// Start boots a server whose configuration is the defaults, changed by with. Cleanup
// stops it and fails the test if it does not stop well.
func Start(t testing.TB, with ...func(*config.Config)) *Server {
	t.Helper()
	cfg, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	cfg.HTTP, cfg.RTMP, cfg.RTMPS, cfg.SRT = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.LogFormat, cfg.Transcode = "text", "off"
	cfg.WebRTC = "127.0.0.1:0"
	for _, f := range with {
		f(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // the test's ends before its cleanup
	ready, done := make(chan node.Ready, 1), make(chan error, 1)
	go func() {
		done <- node.Run(ctx, cfg, node.Options{
			Log: node.NewLogger(t.Output(), cfg), Version: "test", Ready: func(r node.Ready) { ready <- r },
		})
	}()
	s := &Server{Dir: cfg.DataDir}
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("server stopped with: %v", err)
		}
	})
	select {
	case s.Ready = <-ready:
	case err := <-done:
		stopped = true
		cancel()
		t.Fatalf("server did not start: %v", err)
	}
	return s
}

// Stop drains the server as SIGTERM does and fails the test if that goes wrong.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Errorf("server stopped with: %v", err)
	}
}

// IVS is a stock AWS SDK client that is pointed at the server and signs as its administrator.
func (s *Server) IVS() *ivs.Client {
	return ivs.New(ivs.Options{
		Region: s.Region, BaseEndpoint: aws.String(s.Base),
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, ""),
		Retryer:     aws.NopRetryer{},
	})
}

// A Channel is a channel and its stream key.
type Channel struct {
	types.Channel
	Key string
}

// NewChannel creates a channel that takes plain RTMP, changed by with.
func (s *Server) NewChannel(t testing.TB, with ...func(*ivs.CreateChannelInput)) Channel {
	t.Helper()
	in := &ivs.CreateChannelInput{InsecureIngest: true}
	for _, f := range with {
		f(in)
	}
	out, err := s.IVS().CreateChannel(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return Channel{*out.Channel, *out.StreamKey.Value}
}

// MP4 makes NewChannel's channel one of fragmented MP4.
func MP4(in *ivs.CreateChannelInput) { in.ContainerFormat = types.ContainerFormatFragmentedMP4 }

// RTMPURL is where an encoder publishes to c over plain RTMP.
func (s *Server) RTMPURL(c Channel) string { return "rtmp://" + s.RTMP + "/app/" + c.Key }

// RTMPSURL is where an encoder publishes to c over TLS.
func (s *Server) RTMPSURL(c Channel) string { return "rtmps://" + s.RTMPS + "/app/" + c.Key }

// SRTURL is where an encoder publishes to c over SRT: encrypted, if the channel has a
// passphrase to tell. The query of an encoder's own may follow.
func (s *Server) SRTURL(c Channel) string {
	u := "srt://" + s.SRT + "?streamid=" + c.Key
	if p := aws.ToString(c.Srt.Passphrase); p != "" {
		u += "&passphrase=" + p
	}
	return u
}

// Get fetches a URL of the server and returns status, header and body.
func Get(t testing.TB, url string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b
}

// patience bounds how long a test waits for what must come.
const patience = 30 * time.Second

// WaitLive returns when the channel's playback URL plays.
func (s *Server) WaitLive(t testing.TB, c Channel) {
	t.Helper()
	Eventually(t, "the channel plays", func() bool {
		status, _, _ := Get(t, *c.PlaybackUrl)
		return status == http.StatusOK
	})
}

// Eventually polls ok until it holds; there is no event to wait for from outside.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
