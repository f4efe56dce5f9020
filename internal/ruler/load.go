package ruler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/hune-io/hune/internal/rules"
	"github.com/hune-io/hune/internal/signal"
)

// key names one rule manager: the rules of a tenant that are asked of one signal; those of traces also by
// their interval, over which their queries go.
type key struct {
	tenant   string
	signal   signal.Signal
	interval time.Duration // of traces
}

// source is the groups of one manager, by file or namespace.
type source map[string][]rules.Group

// groups collects groups by manager.
type groups map[key]source

func (gs groups) add(tenant, file string, g rules.Group, interval time.Duration) {
	k := key{tenant: tenant, signal: g.Signal}
	if k.signal == "" {
		k.signal = signal.Metrics
	}
	if k.signal == signal.Traces {
		k.interval = interval
		if g.Interval > 0 {
			k.interval = time.Duration(g.Interval)
		}
	}
	if gs[k] == nil {
		gs[k] = source{}
	}
	gs[k][file] = append(gs[k][file], g)
}

// readFiles reads the rule files. Each fault names its file; with any, none of the files is used.
func (r *Ruler) readFiles(globs []string) (groups, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	out, known := groups{}, map[string]decoded{}
	var errs []error
	for _, glob := range globs {
		names, err := filepath.Glob(glob)
		if err != nil {
			errs = append(errs, fmt.Errorf("rules.files: %q: %w", glob, err))
			continue
		}
		for _, name := range names {
			gs, faults := r.readFile(name, known)
			errs = append(errs, faults...)
			for _, g := range gs {
				out.add(r.o.Tenant, name, g, time.Duration(r.o.Config.EvaluationInterval))
			}
		}
	}
	r.known = known
	return out, errors.Join(errs...)
}

// decoded is a rule file without faults.
type decoded struct {
	content []byte
	groups  []rules.Group
}

// readFile reads one rule file and remembers it in known. It is decoded only if it changed since the last
// time: checking ten thousand rules takes half a second of a processor, which at every poll is more than
// evaluating them.
//
// r.reading must be held.
func (r *Ruler) readFile(name string, known map[string]decoded) ([]rules.Group, []error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, []error{err}
	}
	if d, ok := r.known[name]; ok && bytes.Equal(d.content, content) {
		known[name] = d
		return d.groups, nil
	}
	f, faults := rules.DecodeFile(content, Check)
	if len(faults) > 0 {
		for i, err := range faults {
			faults[i] = fmt.Errorf("%s: %w", name, err)
		}
		return nil, faults
	}
	known[name] = decoded{content, f.Groups}
	return f.Groups, nil
}

// readStore adds the groups that tenants set over the API.
func (r *Ruler) readStore(ctx context.Context, out groups) error {
	ids, err := r.o.Store.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		for _, s := range signal.All {
			found, err := r.o.Store.List(ctx, id, s, "")
			if err != nil {
				return err
			}
			for _, f := range found {
				f.Group.Signal = s
				out.add(id, f.Namespace, f.Group, time.Duration(r.o.Config.EvaluationInterval))
			}
		}
	}
	return nil
}

// Loader hands groups of one signal to Prometheus's rule manager in the place of files.
func Loader(s signal.Signal, byFile map[string][]rules.Group) promrules.GroupLoader {
	return &loader{s, byFile}
}

type loader struct {
	signal signal.Signal
	source source
}

// Load implements rules.GroupLoader.
func (l *loader) Load(file string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	out := &rulefmt.RuleGroups{}
	for _, g := range l.source[file] {
		to := rulefmt.RuleGroup{Name: g.Name, Interval: g.Interval, QueryOffset: g.QueryOffset, Limit: g.Limit, Labels: g.Labels}
		for _, r := range g.Rules {
			to.Rules = append(to.Rules, rulefmt.Rule{Record: r.Record, Alert: r.Alert, Expr: r.Expr, For: r.For, KeepFiringFor: r.KeepFiringFor,
				Labels: r.Labels, Annotations: r.Annotations})
		}
		out.Groups = append(out.Groups, to)
	}
	return out, nil
}

// Parse implements rules.GroupLoader.
func (l *loader) Parse(text string) (parser.Expr, error) {
	if l.signal == signal.Metrics {
		return parser.ParseExpr(text)
	}
	return &expression{StringLiteral: &parser.StringLiteral{Val: text}, text: strings.TrimSpace(text)}, Check(l.signal, text)
}

func (s source) files() []string {
	out := make([]string, 0, len(s))
	for name := range s {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
