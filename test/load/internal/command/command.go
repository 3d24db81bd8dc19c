// Package command is what the main function of every load generator does: flags in,
// one JSON object out, exit status for scripts.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main parses the arguments with the flags that bind defines, runs until it is done or
// the process is told to stop, and prints the result as one line of JSON. A result is
// printed even beside an error, unless it is nil. It returns the exit status: 2 for
// wrong usage, 1 for an error.
func Main[R any](name string, bind func(*flag.FlagSet), run func(context.Context) (*R, error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return do(ctx, name, os.Args[1:], bind, run, os.Stdout, os.Stderr)
}

func do[R any](ctx context.Context, name string, args []string, bind func(*flag.FlagSet), run func(context.Context) (*R, error), stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	bind(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case fs.NArg() > 0:
		fmt.Fprintf(stderr, "%s: unexpected argument %q\n", name, fs.Arg(0))
		return 2
	}
	res, err := run(ctx)
	if res != nil {
		err = errors.Join(err, json.NewEncoder(stdout).Encode(res))
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
