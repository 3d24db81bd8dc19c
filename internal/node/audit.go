package node

import (
	"github.com/sluice-live/sluice/internal/audit"
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/httpserver"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/restjson"
)

// openAudit opens the log of API calls, if this node takes any and the log is on.
func (n *node) openAudit() (err error) {
	dir := n.cfg.AuditDir()
	if dir == "" || !n.cfg.Roles.Has(config.Control) {
		return nil
	}
	n.audit, err = audit.Open(audit.Config{
		Dir: dir, MaxSize: int64(n.cfg.AuditMaxSize), MaxFiles: n.cfg.AuditMaxFiles, Log: n.log, Metrics: n.reg,
	})
	return err
}

// recorder hands API calls to the audit log; it is nil when the log is off.
func (n *node) recorder() func(restjson.Record) {
	if n.audit == nil {
		return nil
	}
	return func(r restjson.Record) {
		from := audit.Origin{IP: httpserver.Client(r.HTTP).RemoteIP}
		if r.Account != "" {
			from.PrincipalID = principal.UserID(r.Caller)
		}
		n.audit.Record(r, from)
	}
}
