package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/store"
)

// Options is what a caller of Run decides besides the configuration.
type Options struct {
	Log             *slog.Logger
	Cut             <-chan struct{} // closed to end a drain early; may be nil
	Version         string
	AccessKeyID     string // administrator key from the environment; "" makes one at first start
	SecretAccessKey string
	Ready           func(Ready) // called once, when every listener is up; may be nil
}

// Ready is the content of the ready file: where a node that has just started is reached.
type Ready struct {
	HTTP            string `json:"http"` // host:port, with the real port
	RTMP            string `json:"rtmp"` // "" when off, as the next four
	RTMPS           string `json:"rtmps"`
	SRT             string `json:"srt"`
	WebRTC          string `json:"webrtc"`
	Chat            string `json:"chat"`        // this version has no chat
	AccessKeyID     string `json:"accessKeyId"` // "" without the control role
	SecretAccessKey string `json:"secretAccessKey"`
	Account         string `json:"account"`
	Region          string `json:"region"`
	PID             int    `json:"pid"`

	Base        string `json:"-"` // URL of the API on this machine
	Watch       string `json:"-"` // watch page of the demo channel; "" without demo
	Credentials string `json:"-"` // path of the credentials file; "" without an access key of this node's making
}

// OpenStore opens the configured database and brings its schema up to date.
func OpenStore(ctx context.Context, cfg config.Config) (*store.Store, error) {
	url := cfg.Store
	if url == "" {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
		url = filepath.Join(cfg.DataDir, "sluice.db")
	}
	st, err := store.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := st.Migrate(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}
