package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"text/tabwriter"
	"time"

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
	log := node.NewLogger(io.stderr, *cfg)
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

type keysCmd struct {
	Create createKeyCmd `cmd:"" help:"Make an access key and print it; its secret is shown only now."`
	List   listKeysCmd  `cmd:"" help:"List access keys without their secrets."`
	Delete deleteKeyCmd `cmd:"" help:"Delete an access key; it stops working within a second."`
}

type createKeyCmd struct {
	Principal string `default:"user" help:"Name of who uses the key."`
}

// Run makes a key in the configured account.
func (k createKeyCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	key, err := node.NewAccessKey(cfg.Account, k.Principal, time.Now())
	if err != nil {
		return err
	}
	if err := st.CreateAccessKey(ctx, key); err != nil {
		return err
	}
	fmt.Fprintf(io.stdout, "AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n", key.ID, key.Secret)
	return nil
}

type listKeysCmd struct{}

// keyPage is how many keys are read at a time.
const keyPage = 500

// Run prints a table of the configured account's keys.
func (listKeysCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	w := tabwriter.NewWriter(io.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACCESS KEY\tPRINCIPAL\tACCOUNT\tCREATED")
	for after := ""; ; {
		keys, err := st.ListAccessKeys(ctx, cfg.Account, after, keyPage)
		if err != nil {
			return err
		}
		for _, k := range keys {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Principal, k.Account, k.Created.UTC().Format(time.RFC3339))
			after = k.ID
		}
		if len(keys) < keyPage {
			return w.Flush()
		}
	}
}

type deleteKeyCmd struct {
	ID string `arg:"" help:"Access key id."`
}

// Run deletes one key.
func (k deleteKeyCmd) Run(ctx context.Context, cfg *config.Config) error {
	st, err := node.OpenStore(ctx, *cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	return st.DeleteAccessKey(ctx, k.ID)
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
