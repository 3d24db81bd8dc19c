package node

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// cache gives the store the memory that the configuration allows, and shows its use.
func (n *node) cache() {
	n.store.Cache(int64(n.cfg.StoreCache)) // a SQLite file is below the directory that is locked
	f := promauto.With(n.reg)
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "sluice_store_cache_hits_total", Help: "Reads of resources that were answered from memory.",
	}, func() float64 { return float64(n.store.CacheStats().Hits) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "sluice_store_cache_misses_total", Help: "Reads of resources that memory could have answered, had they been there.",
	}, func() float64 { return float64(n.store.CacheStats().Misses) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_store_cache_bytes", Help: "Memory that resources take, about; store-cache is the most.",
	}, func() float64 { return float64(n.store.CacheStats().Bytes) })
}
