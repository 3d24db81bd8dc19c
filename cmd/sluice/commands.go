package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/node"
)

type serveCmd struct{}

// Run serves until the first signal.
func (serveCmd) Run(ctx context.Context, cut <-chan struct{}, cfg *config.Config, io *console) error {
	id, secret, err := config.AdminKey(io.environ)
	if err != nil {
		return err
	}
	lines := node.NewLines(io.stderr)
	defer lines.Flush()
	log := node.NewLogger(lines, *cfg)
	return node.Run(ctx, *cfg, node.Options{
		Log: log, Cut: cut, AccessKeyID: id, SecretAccessKey: secret, Version: version(),
		Ready: func(r node.Ready) { greet(io.stdout, r) },
	})
}

type configCmd struct{}

// Run prints the configuration that serve would use.
func (configCmd) Run(cfg *config.Config, io *console) error { return config.Print(io.stdout, *cfg) }

type migrateCmd struct{}

// Run brings the schema up to date.
func (migrateCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	have, want, err := st.Schema(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.stdout, "schema version %d of %d\n", have, want)
	return nil
}

type versionCmd struct{}

// Run prints the version that the build recorded.
func (versionCmd) Run(io *console) error {
	_, err := fmt.Fprintln(io.stdout, "sluice", version())
	return err
}

// release is set by the linker (-X main.release=...) in a release build.
var release string

// version is the release, or what the Go toolchain recorded of the source.
func version() string {
	if release != "" {
		return release
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(devel)"
}
