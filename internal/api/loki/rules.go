package loki

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs/logql"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// RuleStore keeps groups of rules. Errors are classed.
type RuleStore interface {
	List(ctx context.Context, tenant string, s signal.Signal, namespace string) ([]rules.Stored, error)
	Get(ctx context.Context, tenant string, s signal.Signal, namespace, group string) (rules.Group, error)
	Put(ctx context.Context, tenant string, s signal.Signal, namespace string, g rules.Group) error
	Delete(ctx context.Context, tenant string, s signal.Signal, namespace, group string) error
	DeleteNamespace(ctx context.Context, tenant string, s signal.Signal, namespace string) error
}

// maxRuleBody bounds a group as it is sent, in bytes.
const maxRuleBody = 1 << 20

// ruleRoutes are the paths that set and read groups, and those that show their state as Prometheus does.
func (h *Handler) ruleRoutes() map[string]http.Handler {
	routes := map[string]http.Handler{}
	for _, base := range []string{"/loki/api/v1/rules", "/api/prom/rules"} {
		for path, f := range map[string]func(http.ResponseWriter, *http.Request, ruleRequest) error{
			"GET " + base:                             h.listRules,
			"GET " + base + "/{namespace}":            h.listRules,
			"POST " + base + "/{namespace}":           h.putRules,
			"DELETE " + base + "/{namespace}":         h.deleteNamespace,
			"GET " + base + "/{namespace}/{group}":    h.getRules,
			"DELETE " + base + "/{namespace}/{group}": h.deleteRules,
		} {
			routes[path] = ruleHandler(f)
		}
	}
	routes["GET /prometheus/api/v1/rules"] = http.HandlerFunc(h.ruleStates)
	routes["GET /prometheus/api/v1/alerts"] = http.HandlerFunc(h.alertStates)
	return routes
}

// ruleRequest names what a request is about.
type ruleRequest struct{ tenant, namespace, group string }

// ruleHandler reads the names in the path; what is wrong with them is told as JSON, all else as text.
func ruleHandler(f func(http.ResponseWriter, *http.Request, ruleRequest) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := ruleRequest{namespace: r.PathValue("namespace"), group: r.PathValue("group")}
		var err error
		switch q.tenant, err = tenant.FromContext(r.Context()); {
		case err != nil:
			writeRuleError(w, fault.New(fault.Invalid, err))
			return
		case q.namespace != "" && !filepath.IsLocal(q.namespace):
			writeRuleError(w, fault.Invalidf("invalid namespace: path traversal not allowed"))
			return
		case q.group != "" && !filepath.IsLocal(q.group):
			writeRuleError(w, fault.Invalidf("invalid groupname: path traversal not allowed"))
			return
		}
		if err := f(w, r, q); err != nil {
			writeError(w, err)
		}
	})
}

// ruleAnswer is the envelope of everything that is answered as JSON.
type ruleAnswer struct {
	Status    string `json:"status"`
	Data      any    `json:"data"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
}

func writeRuleError(w http.ResponseWriter, err error) {
	kind := "server_error"
	if fault.Permanent(err) {
		kind = "bad_data"
	}
	writeJSON(w, fault.Status(err), ruleAnswer{Status: "error", ErrorType: kind, Error: err.Error()})
}

// writeAccepted answers a change: it is stored, and comes into force when rules are next read.
func writeAccepted(w http.ResponseWriter) {
	writeJSON(w, http.StatusAccepted, ruleAnswer{Status: "success"})
}

func writeYAML(w http.ResponseWriter, contentType string, v any) error {
	text, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(text) // the client has gone away: nobody is left to tell
	return nil
}

func (h *Handler) listRules(w http.ResponseWriter, r *http.Request, q ruleRequest) error {
	found, err := h.o.Rules.List(r.Context(), q.tenant, signal.Logs, q.namespace)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fault.Errorf(fault.NotFound, "no rule groups found")
	}
	groups := map[string][]rules.Group{}
	for _, s := range found {
		groups[s.Namespace] = append(groups[s.Namespace], s.Group)
	}
	return writeYAML(w, "application/yaml", groups)
}

func (h *Handler) getRules(w http.ResponseWriter, r *http.Request, q ruleRequest) error {
	g, err := h.o.Rules.Get(r.Context(), q.tenant, signal.Logs, q.namespace, q.group)
	if err != nil {
		return err
	}
	return writeYAML(w, "application/yaml", g)
}

func (h *Handler) putRules(w http.ResponseWriter, r *http.Request, q ruleRequest) error {
	limits := h.o.BodyLimits
	limits.Compressed, limits.Decompressed = maxRuleBody, maxRuleBody
	buf, err := body.Read(r, limits)
	if err != nil {
		return err
	}
	defer buf.Release()
	g, err := rules.Decode(buf.Bytes())
	switch {
	case err == io.EOF:
		return fault.Invalidf("unable to decoded rule group: the body is empty")
	case fault.ClassOf(err) == fault.TooLarge:
		return err
	case err != nil:
		return fault.Invalidf("unable to decoded rule group: %w", err)
	}
	if errs := g.Validate(checkRule); len(errs) > 0 {
		texts := make([]string, len(errs))
		for i, err := range errs {
			texts[i] = err.Error()
		}
		return fault.Invalidf("%s", strings.Join(texts, ", "))
	}
	if err := h.o.Rules.Put(r.Context(), q.tenant, signal.Logs, q.namespace, *g); err != nil {
		return err
	}
	writeAccepted(w)
	return nil
}

// checkRule says why an expression can't be a rule's.
func checkRule(expr string) error {
	e, err := logql.Parse(expr)
	if err != nil {
		return err
	}
	if _, isLog := e.(*logql.LogQuery); isLog {
		return fault.Invalidf("rule result is not a vector or scalar")
	}
	return nil
}

func (h *Handler) deleteRules(w http.ResponseWriter, r *http.Request, q ruleRequest) error {
	if err := h.o.Rules.Delete(r.Context(), q.tenant, signal.Logs, q.namespace, q.group); err != nil {
		return err
	}
	writeAccepted(w)
	return nil
}

func (h *Handler) deleteNamespace(w http.ResponseWriter, r *http.Request, q ruleRequest) error {
	if err := h.o.Rules.DeleteNamespace(r.Context(), q.tenant, signal.Logs, q.namespace); err != nil {
		return err
	}
	writeAccepted(w)
	return nil
}
