// Package ruleconfig is the API by which Cortex, Mimir and Loki take groups of rules: YAML, one group a
// request, by namespace.
//
//	GET    BASE                      all groups, by namespace
//	GET    BASE/{namespace}          those of one
//	POST   BASE/{namespace}          sets one group
//	DELETE BASE/{namespace}          removes all of a namespace
//	GET    BASE/{namespace}/{group}  one
//	DELETE BASE/{namespace}/{group}  removes it
//
// See https://grafana.com/docs/mimir/latest/references/http-api/#ruler.
package ruleconfig

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/api/body"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/tenant"
)

// Store keeps groups of rules. Errors are classed.
type Store interface {
	List(ctx context.Context, tenant string, s signal.Signal, namespace string) ([]rules.Stored, error)
	Get(ctx context.Context, tenant string, s signal.Signal, namespace, group string) (rules.Group, error)
	Put(ctx context.Context, tenant string, s signal.Signal, namespace string, g rules.Group) error
	Delete(ctx context.Context, tenant string, s signal.Signal, namespace, group string) error
	DeleteNamespace(ctx context.Context, tenant string, s signal.Signal, namespace string) error
}

// Options are the parts of an API.
type Options struct {
	Store Store
	// Signals whose rules are set and shown here; a group that names none is of the first.
	Signals []signal.Signal
	// Check says why an expression can't be a rule's.
	Check      func(s signal.Signal, expr string) error
	BodyLimits body.Limits
}

// API serves it.
type API struct{ o Options }

// New returns an API.
func New(o Options) *API {
	o.BodyLimits.Compressed, o.BodyLimits.Decompressed = maxBody, maxBody
	return &API{o}
}

// maxBody bounds a group as it is sent, in bytes.
const maxBody = 1 << 20

// Routes returns the handlers by pattern of http.ServeMux.
func (a *API) Routes(bases ...string) map[string]http.Handler {
	routes := map[string]http.Handler{}
	for _, base := range bases {
		for path, f := range map[string]func(http.ResponseWriter, *http.Request, request) error{
			"GET " + base:                             a.list,
			"GET " + base + "/{namespace}":            a.list,
			"POST " + base + "/{namespace}":           a.put,
			"DELETE " + base + "/{namespace}":         a.deleteNamespace,
			"GET " + base + "/{namespace}/{group}":    a.get,
			"DELETE " + base + "/{namespace}/{group}": a.delete,
		} {
			routes[path] = handler(f)
		}
	}
	return routes
}

// request names what a request is about.
type request struct{ tenant, namespace, group string }

// handler reads the names in the path; what is wrong with them is told as JSON, all else as text.
func handler(f func(http.ResponseWriter, *http.Request, request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := request{namespace: r.PathValue("namespace"), group: r.PathValue("group")}
		var err error
		switch q.tenant, err = tenant.FromContext(r.Context()); {
		case err != nil:
			WriteError(w, fault.New(fault.Invalid, err))
			return
		case q.namespace != "" && !filepath.IsLocal(q.namespace):
			WriteError(w, fault.Invalidf("invalid namespace: path traversal not allowed"))
			return
		case q.group != "" && !filepath.IsLocal(q.group):
			WriteError(w, fault.Invalidf("invalid groupname: path traversal not allowed"))
			return
		}
		if err := f(w, r, q); err != nil {
			if after := fault.RetryAfter(err); after > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(after.Seconds())+1))
			}
			http.Error(w, err.Error(), fault.Status(err))
		}
	})
}

// Answer is the envelope of everything that is answered as JSON.
type Answer struct {
	Status    string `json:"status"`
	Data      any    `json:"data"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
}

// WriteError answers with an error as JSON.
func WriteError(w http.ResponseWriter, err error) {
	kind := "server_error"
	if fault.Permanent(err) {
		kind = "bad_data"
	}
	WriteJSON(w, fault.Status(err), Answer{Status: "error", ErrorType: kind, Error: err.Error()})
}

// WriteJSON answers with JSON.
func WriteJSON(w http.ResponseWriter, status int, a Answer) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(a) // the client has gone away: nobody is left to tell
}

// writeAccepted answers a change: it is stored, and comes into force when rules are next read.
func writeAccepted(w http.ResponseWriter) {
	WriteJSON(w, http.StatusAccepted, Answer{Status: "success"})
}

func writeYAML(w http.ResponseWriter, v any) error {
	text, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(text) // the client has gone away: nobody is left to tell
	return nil
}

// shown is a group as it is read back: it names its signal where that isn't the one that is meant anyway.
func (a *API) shown(g rules.Group, s signal.Signal) rules.Group {
	g.Signal = ""
	if s != a.o.Signals[0] {
		g.Signal = s
	}
	return g
}

func (a *API) list(w http.ResponseWriter, r *http.Request, q request) error {
	groups := map[string][]rules.Group{}
	for _, s := range a.o.Signals {
		found, err := a.o.Store.List(r.Context(), q.tenant, s, q.namespace)
		if err != nil {
			return err
		}
		for _, f := range found {
			groups[f.Namespace] = append(groups[f.Namespace], a.shown(f.Group, s))
		}
	}
	if len(groups) == 0 {
		return fault.Errorf(fault.NotFound, "no rule groups found")
	}
	return writeYAML(w, groups)
}

func (a *API) get(w http.ResponseWriter, r *http.Request, q request) error {
	var missing error
	for _, s := range a.o.Signals {
		g, err := a.o.Store.Get(r.Context(), q.tenant, s, q.namespace, q.group)
		switch {
		case err == nil:
			return writeYAML(w, a.shown(g, s))
		case !errors.Is(err, rules.ErrNoGroup):
			return err
		}
		missing = err
	}
	return missing
}

func (a *API) put(w http.ResponseWriter, r *http.Request, q request) error {
	buf, err := body.Read(r, a.o.BodyLimits)
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
	s := g.Signal
	if s == "" {
		s = a.o.Signals[0]
	}
	if !slices.Contains(a.o.Signals, s) {
		return fault.Invalidf("rules about %s are not set here", s)
	}
	if errs := g.Validate(func(expr string) error { return a.o.Check(s, expr) }); len(errs) > 0 {
		texts := make([]string, len(errs))
		for i, err := range errs {
			texts[i] = err.Error()
		}
		return fault.Invalidf("%s", strings.Join(texts, ", "))
	}
	g.Signal = ""
	if err := a.o.Store.Put(r.Context(), q.tenant, s, q.namespace, *g); err != nil {
		return err
	}
	// A group of one name is there once, whatever its signal was. The old one goes last, so that what fails
	// between leaves two groups and not none.
	for _, other := range a.o.Signals {
		if other == s {
			continue
		}
		if err := a.o.Store.Delete(r.Context(), q.tenant, other, q.namespace, g.Name); err != nil && !errors.Is(err, rules.ErrNoGroup) {
			return err
		}
	}
	writeAccepted(w)
	return nil
}

func (a *API) delete(w http.ResponseWriter, r *http.Request, q request) error {
	return a.remove(w, rules.ErrNoGroup, func(s signal.Signal) error {
		return a.o.Store.Delete(r.Context(), q.tenant, s, q.namespace, q.group)
	})
}

func (a *API) deleteNamespace(w http.ResponseWriter, r *http.Request, q request) error {
	return a.remove(w, rules.ErrNoNamespace, func(s signal.Signal) error {
		return a.o.Store.DeleteNamespace(r.Context(), q.tenant, s, q.namespace)
	})
}

// remove removes something of every signal; it is missing if none has it.
func (a *API) remove(w http.ResponseWriter, missing error, f func(signal.Signal) error) error {
	found := false
	for _, s := range a.o.Signals {
		switch err := f(s); {
		case err == nil:
			found = true
		case !errors.Is(err, missing):
			return err
		}
	}
	if !found {
		return missing
	}
	writeAccepted(w)
	return nil
}
