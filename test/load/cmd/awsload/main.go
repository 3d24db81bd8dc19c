// Command awsload drives an IVS control plane with signed CreateChannel, GetChannel and
// ListChannels requests and reports rate and latency of each.
package main

import (
	"context"
	"os"

	"github.com/sluice-live/sluice/test/load/internal/apiload"
	"github.com/sluice-live/sluice/test/load/internal/command"
)

func main() {
	var c apiload.Config
	os.Exit(command.Main("awsload", c.Flags, func(ctx context.Context) (*apiload.Result, error) { return apiload.Run(ctx, c) }))
}
