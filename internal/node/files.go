package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/live"
)

// lock makes this process the only one that serves from a data directory. The system
// frees it when the process ends, however it ends.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("node: %s is in use by another sluice: give this one its own --data-dir", filepath.Dir(name))
	}
	return func() { _ = f.Close() }, nil
}

// nodeName is the configured name, or the one that the first start makes up.
func nodeName(cfg config.Config) (string, error) {
	if cfg.Node != "" {
		return cfg.Node, nil
	}
	name := filepath.Join(cfg.DataDir, "node")
	b, err := os.ReadFile(name)
	if s := strings.TrimSpace(string(b)); err == nil && s != "" {
		return s, nil
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("node: %w", err)
	}
	id := "node-" + live.NewID(8)
	return id, writeFile(name, id+"\n")
}
