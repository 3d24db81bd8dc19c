package main

import (
	"fmt"
	"io"

	"github.com/sluice-live/sluice/internal/node"
)

// greet tells a person at the terminal what is running and what to try first. The
// secret of the key is in the credentials file, not on the screen.
func greet(w io.Writer, r node.Ready) {
	fmt.Fprintf(w, "\nSluice is ready.\n\n  API and playback  %s\n", r.Base)
	if r.RTMP != "" {
		fmt.Fprintf(w, "  RTMP ingest       rtmp://%s/app/<stream key>\n", r.RTMP)
	}
	if r.RTMPS != "" {
		fmt.Fprintf(w, "  RTMPS ingest      rtmps://%s/app/<stream key>\n", r.RTMPS)
	}
	if r.SRT != "" {
		fmt.Fprintf(w, "  SRT ingest        srt://%s?streamid=<stream key>&passphrase=<passphrase>\n", r.SRT)
	}
	if r.Watch != "" {
		fmt.Fprintf(w, "  Watch the demo    %s\n", r.Watch)
	}
	if r.AccessKeyID == "" { // no API here
		fmt.Fprintln(w)
		return
	}
	credentials := "" // the environment's, which whoever gave them has
	if r.Credentials != "" {
		credentials = "AWS_SHARED_CREDENTIALS_FILE=" + r.Credentials + " "
	}
	fmt.Fprintf(w, `
Try it with the AWS CLI:

  export %sAWS_DEFAULT_REGION=%s
  aws ivs list-channels --endpoint-url %s

`, credentials, r.Region, r.Base)
}
