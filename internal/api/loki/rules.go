package loki

import (
	"net/http"

	"github.com/hune-io/hune/internal/api/ruleconfig"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/signal"
)

// RuleStore keeps groups of rules.
type RuleStore = ruleconfig.Store

// ruleRoutes are the paths that set and read groups, and those that show their state as Prometheus does.
func (h *Handler) ruleRoutes() map[string]http.Handler {
	config := ruleconfig.New(ruleconfig.Options{Store: h.o.Rules, Signals: []signal.Signal{signal.Logs}, Check: checkRule, BodyLimits: h.o.BodyLimits})
	routes := config.Routes("/loki/api/v1/rules", "/api/prom/rules")
	routes["GET /prometheus/api/v1/rules"] = http.HandlerFunc(h.ruleStates)
	routes["GET /prometheus/api/v1/alerts"] = http.HandlerFunc(h.alertStates)
	return routes
}

// checkRule says why an expression can't be a rule's.
func checkRule(_ signal.Signal, expr string) error {
	e, err := logql.Parse(expr)
	if err != nil {
		return err
	}
	if _, isLog := e.(*logql.LogQuery); isLog {
		return fault.Invalidf("rule result is not a vector or scalar")
	}
	return nil
}
