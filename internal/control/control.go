package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
)

// Config is what an operator decides about the control plane.
type Config struct {
	PublicURL string // base of every URL handed out; "" derives it from the request
	// Playback is the path of a channel's playback URL.
	Playback func(channel live.ARN) string
	Limits   Limits
	Buckets  buckets // where recordings go; required by Run
	// CreateBuckets makes a bucket that a recording configuration names and that is not
	// there: right for a directory, where nobody else would. On S3 it must be there.
	CreateBuckets bool
	Log           *slog.Logger // of Run, and of what goes wrong beside a call; nil for none
}

// Control implements the operations.
type Control struct {
	cfg    Config
	store  *store.Store
	roster *roster.Roster
	pages  pager
	log    *slog.Logger
	now    func() time.Time
	woken  chan struct{} // tells Run that there is work; holds one
	named  atomic.Pointer[namedBase]
}

// New returns a Control over st. secret signs page tokens and is the same on every node.
func New(st *store.Store, ro *roster.Roster, secret []byte, c Config) *Control {
	c.Limits = c.Limits.withDefaults()
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Control{
		cfg: c, store: st, roster: ro, pages: pager{secret}, log: log, now: time.Now, woken: make(chan struct{}, 1),
	}
}

// base is scheme://host of the URLs this caller gets.
func (c *Control) base(caller restjson.Caller) string {
	if c.cfg.PublicURL != "" {
		return c.cfg.PublicURL
	}
	return caller.Base
}

// A named base is one that host was asked about.
type namedBase struct{ base, host string }

// host is the package's host, which it asks once for callers of the same base: mostly all.
func (c *Control) host(base string) string {
	if last := c.named.Load(); last != nil && last.base == base {
		return last.host
	}
	h := host(base)
	c.named.Store(&namedBase{base, h})
	return h
}

// host is the bare host name of base: the form of an ingest endpoint, to which the
// user adds scheme, port and path (low-latency.md 1.3).
func host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	h := u.Hostname()
	if net.ParseIP(h) != nil && len(h) > 0 && h[0] != '[' && net.ParseIP(h).To4() == nil {
		return "[" + h + "]"
	}
	return h
}

// owned parses an ARN that must name a resource of the given type in the caller's
// account and the request's region. A foreign one is not found, as if it never was.
func owned(caller restjson.Caller, arn, typ string) (live.ARN, error) {
	a, err := live.ParseARN(arn)
	if err != nil {
		return live.ARN{}, err
	}
	if err := a.Want(live.ServiceIVS, typ); err != nil {
		return live.ARN{}, err
	}
	if a.Account != caller.Account || a.Region != caller.Region {
		return live.ARN{}, missing(a)
	}
	return a, nil
}

func missing(a live.ARN) error {
	return live.Errorf(live.NotFound, "Resource: %s not found", a)
}

// get reads a row, turning "no row" into the caller's error.
func get(ctx context.Context, r store.Reader, a live.ARN) (store.Row, error) {
	row, err := r.Get(ctx, a)
	if errors.Is(err, store.ErrNotFound) {
		return row, missing(a)
	}
	if err != nil {
		return row, fmt.Errorf("control: %w", err)
	}
	return row, nil
}

// Holding a channel for a write.
const (
	holdTTL  = 10 * time.Second // a node that dies in between blocks the channel no longer
	holdWait = 2 * time.Second  // how long to wait for another write to the same channel
)

var (
	// errLive refuses a change to a channel that an encoder holds (low-latency.md 1.5).
	errLive = live.Errorf(live.Conflict, "the channel is live: stop the stream first")
	// errContended refuses a change that others of the same channel kept waiting too long.
	errContended = live.Errorf(live.Conflict, "other calls are changing the channel")
)

// hold runs do with the channel's lease held, so that nobody can go live meanwhile.
func (c *Control) hold(ctx context.Context, channel live.ARN, do func() error) error {
	deadline := c.now().Add(holdWait)
	for {
		lease, err := c.store.Acquire(ctx, channel.String(), holdName, "", c.now(), holdTTL)
		if err == nil {
			err = do()
			if rerr := c.store.Release(context.WithoutCancel(ctx), lease); rerr != nil {
				err = errors.Join(err, fmt.Errorf("control: %w", rerr))
			}
			return err
		}
		if !errors.Is(err, store.ErrHeld) {
			return fmt.Errorf("control: %w", err)
		}
		l, err := c.store.LeaseOf(ctx, channel.String(), c.now())
		if err == nil && l.Node != holdName {
			return errLive
		}
		if c.now().After(deadline) {
			return errContended
		}
		select { // another call is writing; it takes milliseconds
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// holdName is the holder of a lease that protects a write rather than a stream. It is
// no node's name: a node's name has no colon.
const holdName = "control:write"

// IVS is every operation of the ivs service.
func (c *Control) IVS() ivsapi.Operations {
	return ivsapi.Operations{
		BatchGetChannel:                   c.BatchGetChannel,
		BatchGetStreamKey:                 c.BatchGetStreamKey,
		BatchStartViewerSessionRevocation: c.BatchStartViewerSessionRevocation,
		CreateAdConfiguration:             c.CreateAdConfiguration,
		CreateChannel:                     c.CreateChannel,
		CreatePlaybackRestrictionPolicy:   c.CreatePlaybackRestrictionPolicy,
		CreateRecordingConfiguration:      c.CreateRecordingConfiguration,
		CreateStreamKey:                   c.CreateStreamKey,
		DeleteAdConfiguration:             c.DeleteAdConfiguration,
		DeleteChannel:                     c.DeleteChannel,
		DeletePlaybackKeyPair:             c.DeletePlaybackKeyPair,
		DeletePlaybackRestrictionPolicy:   c.DeletePlaybackRestrictionPolicy,
		DeleteRecordingConfiguration:      c.DeleteRecordingConfiguration,
		DeleteStreamKey:                   c.DeleteStreamKey,
		GetAdConfiguration:                c.GetAdConfiguration,
		GetChannel:                        c.GetChannel,
		GetPlaybackKeyPair:                c.GetPlaybackKeyPair,
		GetPlaybackRestrictionPolicy:      c.GetPlaybackRestrictionPolicy,
		GetRecordingConfiguration:         c.GetRecordingConfiguration,
		GetStream:                         c.GetStream,
		GetStreamKey:                      c.GetStreamKey,
		GetStreamSession:                  c.GetStreamSession,
		ImportPlaybackKeyPair:             c.ImportPlaybackKeyPair,
		InsertAdBreak:                     c.InsertAdBreak,
		ListAdConfigurations:              c.ListAdConfigurations,
		ListChannels:                      c.ListChannels,
		ListPlaybackKeyPairs:              c.ListPlaybackKeyPairs,
		ListPlaybackRestrictionPolicies:   c.ListPlaybackRestrictionPolicies,
		ListRecordingConfigurations:       c.ListRecordingConfigurations,
		ListStreamKeys:                    c.ListStreamKeys,
		ListStreamSessions:                c.ListStreamSessions,
		ListStreams:                       c.ListStreams,
		ListTagsForResource:               c.ListTagsForResource,
		PutMetadata:                       c.PutMetadata,
		StartViewerSessionRevocation:      c.StartViewerSessionRevocation,
		StopStream:                        c.StopStream,
		TagResource:                       c.TagResource,
		UntagResource:                     c.UntagResource,
		UpdateAdConfiguration:             c.UpdateAdConfiguration,
		UpdateChannel:                     c.UpdateChannel,
		UpdatePlaybackRestrictionPolicy:   c.UpdatePlaybackRestrictionPolicy,
	}
}
