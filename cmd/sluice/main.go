// Command sluice is the whole of Sluice: the server and the tools that manage it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/lifecycle"
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// cli is the command tree. Every command takes every configuration key, so that
// `sluice keys` finds the store that `sluice serve` uses.
type cli struct {
	config.Flags

	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Config  configCmd  `cmd:"" help:"Print the effective configuration, with what each key means."`
	Keys    keysCmd    `cmd:"" help:"Manage access keys."`
	Users   usersCmd   `cmd:"" help:"Manage users: who the keys belong to, and the IAM policies that say what they may."`
	Audit   auditCmd   `cmd:"" help:"Print the API calls that the audit log of this machine has, newest first."`
	Token   tokenCmd   `cmd:"" help:"Sign a playback token for a private channel, and print it."`
	Quotas  quotasCmd  `cmd:"" help:"Print the effective limits, as a file that --quotas takes."`
	Migrate migrateCmd `cmd:"" help:"Bring the database to this version's schema (serve does so too)."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// console is what a command may read and write besides the store.
type console struct {
	environ        []string
	stdout, stderr io.Writer
}

// errUsage says that the message is already printed.
var errUsage = errors.New("usage")

// run is main without the globals; a test hands it arguments, an environment and its streams.
func run(args, environ []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("sluice"),
		kong.Description("Amazon IVS as software that anyone can run: one binary that speaks the IVS API, takes RTMP and serves low-latency HLS."),
		kong.Writers(stdout, stderr),
		kong.UsageOnError(),
		kong.Exit(func(int) { panic(errUsage) }), // after --help; recovered below
		config.Resolver(environ),
	)
	if err != nil {
		return complain(stderr, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parse(parser, args)
	if errors.Is(err, errUsage) {
		return 0
	} else if err != nil {
		return complain(stderr, err)
	}
	ctx, cut, release := lifecycle.Signals(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	cmd.BindTo(ctx, (*context.Context)(nil))
	cmd.Bind(cut, &c.Flags.Config, &console{environ, stdout, stderr})
	if err := cmd.Run(); err != nil {
		return complain(stderr, err)
	}
	return 0
}

// parse turns kong's wish to exit, after it printed help, into errUsage.
func parse(p *kong.Kong, args []string) (cmd *kong.Context, err error) {
	defer func() {
		if e := recover(); e == errUsage { //nolint:errorlint // a panic value, not a chain
			err = errUsage
		} else if e != nil {
			panic(e)
		}
	}()
	return p.Parse(args)
}

func complain(w io.Writer, err error) int {
	fmt.Fprintln(w, "sluice:", err)
	return 1
}
