// Command llprobe follows one live HLS rendition and measures, for every video frame
// that rtmppub -marker stamped, the time from the publisher's socket to usable bytes.
package main

import (
	"context"
	"os"

	"github.com/sluice-live/sluice/test/load/internal/command"
	"github.com/sluice-live/sluice/test/load/internal/probe"
)

func main() {
	var c probe.Config
	os.Exit(command.Main("llprobe", c.Flags, func(ctx context.Context) (*probe.Result, error) { return probe.Run(ctx, c) }))
}
