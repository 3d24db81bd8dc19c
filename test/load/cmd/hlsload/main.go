//go:build linux

// Command hlsload simulates N live viewers of HLS or LL-HLS and reports what they saw
// and what the server spent on them.
package main

import (
	"context"
	"os"

	"github.com/sluice-live/sluice/test/load/internal/command"
	"github.com/sluice-live/sluice/test/load/internal/viewers"
)

func main() {
	var c viewers.Config
	os.Exit(command.Main("hlsload", c.Flags, func(ctx context.Context) (*viewers.Result, error) { return viewers.Run(ctx, c) }))
}
