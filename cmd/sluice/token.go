package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/playback"
)

// tokenCmd has a flag for each claim, named like it.
type tokenCmd struct {
	Key        string `required:"" type:"path" help:"PEM file with the private key of a pair whose public key is imported: ECDSA, P-384."`
	ChannelArn string `required:"" name:"channel-arn" help:"Channel that the token is for."`
	Exp        string `default:"5m" help:"End of the token, as a time from now (5m), in seconds since 1970, or as 2026-03-04T05:06:07Z. It counts when playback begins."`

	AccessControlAllowOrigin []string `placeholder:"ORIGIN" help:"Origin that the player's page must be of, such as https://*.example.com. May be given several times."`
	StrictOriginEnforcement  bool     `help:"Ask every request for that origin, not the first only; at most 5 origins."`
	SingleUse                bool     `xor:"use" help:"Make the token good for one playback, by an id that is made up."`
	SingleUseUUID            string   `xor:"use" name:"single-use-uuid" placeholder:"UUID" help:"The same, by this id."`
	ViewerID                 string   `placeholder:"ID" help:"Name of the viewer, up to 40 characters, by whom sessions can be revoked."`
	ViewerSessionVersion     int64    `help:"Version of the viewer's session, for revocations up to a version."`
	MaximumResolution        string   `enum:",SD,HD,FULL_HD" default:"" help:"Largest resolution that may be watched: SD, HD or FULL_HD."`

	AdsOptOut             bool              `help:"The viewer gets no ads."`
	AdsPlayerParams       map[string]string `placeholder:"NAME=VALUE" mapsep:"," help:"Parameters for whoever chooses the ads, up to 1000 bytes."`
	AdsPlaybackConfigName string            `placeholder:"NAME" help:"Which MediaTailor configuration of the channel's ad configuration chooses the ads."`
	AdsReportingMode      string            `enum:",CLIENT,SERVER" default:"" help:"Who reports that an ad was seen: CLIENT or SERVER."`
}

// Run prints a token, which is all that goes to standard output.
func (c tokenCmd) Run(io *console) error {
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	key, err := playback.ParsePrivateKey(text)
	if err != nil {
		return err
	}
	now := time.Now()
	claims, err := c.claims(now)
	if err != nil {
		return err
	}
	token, err := playback.Sign(key, claims, now)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.stdout, token)
	return err
}

func (c tokenCmd) claims(now time.Time) (playback.Claims, error) {
	channel, err := live.ParseARN(c.ChannelArn)
	if err != nil {
		return playback.Claims{}, err
	}
	end, err := expiry(c.Exp, now)
	if err != nil {
		return playback.Claims{}, err
	}
	use := c.SingleUseUUID
	if c.SingleUse {
		use = live.NewUUID()
	}
	return playback.Claims{
		Channel: channel, Expires: end,
		Origins: c.AccessControlAllowOrigin, Strict: c.StrictOriginEnforcement,
		SingleUse: use, Viewer: c.ViewerID, Version: c.ViewerSessionVersion, MaxResolution: c.MaximumResolution,
		Ads: playback.Ads{
			OptOut: c.AdsOptOut, PlayerParams: c.AdsPlayerParams, ConfigName: c.AdsPlaybackConfigName, Reporting: c.AdsReportingMode,
		},
	}, nil
}

// expiry reads --exp, in seconds since 1970.
func expiry(s string, now time.Time) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d).Unix(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.Unix(), nil
	}
	return 0, fmt.Errorf("--exp: %q is no time: want one like 5m, 4102444800 or 2026-03-04T05:06:07Z", s)
}
