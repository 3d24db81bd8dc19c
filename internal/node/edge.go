package node

import (
	"context"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/edge"
)

// openEdge makes what nodes know each other by and, with the role, what serves the
// streams of other nodes.
func (n *node) openEdge(ctx context.Context) error {
	secret, err := n.store.Secret(ctx, edge.SecretName)
	if err != nil {
		return err
	}
	n.peers = edge.NewCredential(secret)
	if n.cfg.Roles.Has(config.Edge) {
		n.edge = edge.New(ctx, n.log, n.roster, n.peers, n.reg, edge.Config{
			Node: n.name, Cache: int64(n.cfg.EdgeCache), Record: n.series.Add,
		})
	}
	return nil
}
