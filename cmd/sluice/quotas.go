package main

import (
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/quota"
)

type quotasCmd struct{}

// Run prints the limits that serve would keep.
func (quotasCmd) Run(cfg *config.Config, io *console) error {
	p, err := quota.Load(cfg.Quotas)
	if err != nil {
		return err
	}
	return quota.Print(io.stdout, p)
}
