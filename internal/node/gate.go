package node

import (
	"cmp"
	"context"

	"github.com/sluice-live/sluice/internal/playback"
)

// openGate makes what decides who may watch.
func (n *node) openGate(ctx context.Context) error {
	secret, err := n.store.Secret(ctx, playback.SecretName)
	if err != nil {
		return err
	}
	n.gate = playback.New(n.log, secret, n.store, n.roster, n.reg, playback.Config{
		TokenBytes: cmp.Or(int(n.quotas.IVS.PlaybackTokenBytes), 64<<10), // no request is larger
	})
	if n.cfg.GeoIP != "" {
		n.geoip, err = playback.OpenCountries(n.log, n.cfg.GeoIP, n.reg)
	}
	return err
}
