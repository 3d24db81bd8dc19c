//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

// sluice is our own server, run as its users run it.
type sluice struct {
	bin          string
	args         []string
	part, window time.Duration
	database     string // URL; "" for a file in its directory
	helpers      []int  // the database's process
}

// readyFile is what the server writes once it takes connections.
type readyFile struct {
	HTTP            string `json:"http"`
	RTMP            string `json:"rtmp"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	Region          string `json:"region"`
	Account         string `json:"account"`
}

func (s *sluice) name() string { return "sluice" }

func (s *sluice) version(ctx context.Context) string { return versionOf(ctx, s.bin, "version") }

func (s *sluice) containers() []container { return []container{fmp4, ts} }

func (s *sluice) measures() []string { return names() }

func (s *sluice) start(ctx context.Context, dir string, _ mode) (*instance, error) {
	path := filepath.Join(dir, "ready.json")
	if err := os.RemoveAll(path); err != nil {
		return nil, err
	}
	args := append([]string{
		"serve", "--data-dir", filepath.Join(dir, "data"), "--ready-file", path,
		"--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--rtmps", "127.0.0.1:0", "--srt", "",
		"--hls-part", s.part.String(), "--hls-window", s.window.String(), "--transcode", "off", // as the peers
		"--webrtc", "",
	}, s.args...)
	if s.database != "" {
		args = append(args, "--store", s.database)
	}
	var r readyFile
	in, err := launch(ctx, s.bin, dir, args, func() (bool, error) {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return json.Unmarshal(b, &r) == nil, nil // else it is being written
	})
	if err != nil {
		return nil, err
	}
	in.helpers = s.helpers
	in.http, in.rtmp, in.access = r.HTTP, r.RTMP, access{r.AccessKeyID, r.SecretAccessKey, r.Region, r.Account}
	for _, a := range []string{in.http, in.rtmp} {
		if _, err := loopback.AddrPort(a); err != nil {
			return nil, errors.Join(err, in.stop())
		}
	}
	return in, nil
}

// channels makes channels with the AWS SDK, as a user would.
func (s *sluice) channels(ctx context.Context, in *instance, n int, c container) ([]channel, error) {
	client := ivs.New(ivs.Options{
		BaseEndpoint:     aws.String("http://" + in.http),
		Region:           in.access.region,
		Credentials:      credentials.NewStaticCredentialsProvider(in.access.keyID, in.access.secret, ""),
		RetryMaxAttempts: 10, // there is a limit of calls a second
	})
	format := types.ContainerFormatFragmentedMP4
	if c == ts {
		format = types.ContainerFormatTs
	}
	var cs []channel
	for i := range n {
		out, err := client.CreateChannel(ctx, &ivs.CreateChannelInput{
			Name:            aws.String(fmt.Sprintf("bench-%d", i)),
			InsecureIngest:  true,
			ContainerFormat: format,
			LatencyMode:     types.ChannelLatencyModeLowLatency,
			Type:            types.ChannelTypeBasicChannelType,
		})
		if err != nil {
			return nil, err
		}
		cs = append(cs, channel{
			publish: "rtmp://" + in.rtmp + "/app/" + aws.ToString(out.StreamKey.Value),
			play:    aws.ToString(out.Channel.PlaybackUrl),
		})
	}
	return cs, nil
}
