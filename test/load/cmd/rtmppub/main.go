// Command rtmppub publishes a pre-encoded FLV over RTMP in real time on N connections
// and reports what the server spent on it. With -marker it stamps each video frame,
// from which llprobe and hlsload measure latency.
package main

import (
	"context"
	"os"

	"github.com/sluice-live/sluice/test/load/internal/command"
	"github.com/sluice-live/sluice/test/load/internal/publish"
)

func main() {
	var c publish.Config
	os.Exit(command.Main("rtmppub", c.Flags, func(ctx context.Context) (*publish.Result, error) { return publish.Run(ctx, c) }))
}
