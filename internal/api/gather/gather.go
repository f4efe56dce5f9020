// Package gather answers for a whole cluster what each process of it knows a part of: rule groups and alerts, which
// rulers share, and targets, which scrapers share. Whoever is asked asks the others the same, and puts the answers together.
//
// Of a member that doesn't answer the part is missing, and a warning in the answer names it.
package gather

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/api/ruleconfig"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/tenant"
)

// partHeader marks a question of another member: it is answered with the part that is here.
const partHeader = "Hune-Part"

const (
	// timeout bounds how long a member is waited for: one that was killed still counts for a while.
	timeout = 5 * time.Second
	// maxPart bounds the answer of a member.
	maxPart = 64 << 20
)

// paths are what is gathered of rulers, with whether it can be asked for page by page.
var paths = map[string]bool{
	"/api/v1/rules": true, "/api/v1/alerts": false, "/api/hune/v1/rules": false,
	"/prometheus/api/v1/rules": false, "/prometheus/api/v1/alerts": false,
	"/mimir/prometheus/api/v1/rules": true, "/mimir/prometheus/api/v1/alerts": false,
}

// Options are what a Gatherer needs.
type Options struct {
	// Rulers and Scrapers are the others of each kind at the moment, as host:port.
	Rulers, Scrapers func() []string
	Client           *http.Client // nil: http.DefaultClient
}

// Gatherer asks the others.
type Gatherer struct{ o Options }

// New returns a Gatherer.
func New(o Options) *Gatherer {
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	return &Gatherer{o}
}

// Wrap completes the answers of next, in whose requests' contexts the tenant is.
func (g *Gatherer) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get(partHeader) != "" {
			next.ServeHTTP(w, r)
			return
		}
		if paged, ours := paths[r.URL.Path]; ours {
			if others := g.o.Rulers(); len(others) > 0 {
				g.serveRules(w, r, next, others, paged)
				return
			}
		}
		if r.URL.Path == targetsPath || r.URL.Path == metadataPath {
			if others := g.o.Scrapers(); len(others) > 0 {
				serve := g.serveTargets
				if r.URL.Path == metadataPath {
					serve = g.serveMetadata
				}
				serve(w, r, next, others)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (g *Gatherer) serveRules(w http.ResponseWriter, r *http.Request, next http.Handler, others []string, paged bool) {
	var pages page
	query := r.URL.Query()
	if paged {
		pages = takePage(query)
	}
	here := ask(next, r, query)
	own, err := decode(here.body.Bytes())
	if here.status != http.StatusOK || err != nil {
		here.copyTo(w) // a mistake in the question, most likely: the others would say the same
		return
	}
	parts := each(others, func(addr string) *part {
		body, err := g.fetch(r, query, addr)
		if err == nil {
			var p *part
			if p, err = decode(body); err == nil {
				return p
			}
		}
		return &part{warnings: []string{fmt.Sprintf("%s did not answer, what it evaluates is missing: %s", addr, err)}}
	})
	for _, p := range parts {
		own.add(p)
	}
	own.order()
	if err := own.cut(pages); err != nil {
		ruleconfig.WriteError(w, err)
		return
	}
	writeJSON(w, own.answer())
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

// ask lets next answer the question without its page, uncompressed.
func ask(next http.Handler, r *http.Request, query url.Values) *recorded {
	in := r.Clone(r.Context())
	in.Header.Del("Accept-Encoding")
	in.URL.RawQuery = query.Encode()
	out := &recorded{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(out, in)
	r.Pattern = in.Pattern
	return out
}

// each asks the others at once. The answers come in the order of others.
func each[T any](others []string, one func(addr string) T) []T {
	out := make([]T, len(others))
	var all sync.WaitGroup
	for i, addr := range others {
		all.Go(func() { out[i] = one(addr) })
	}
	all.Wait()
	return out
}

// fetch asks one member for its part.
func (g *Gatherer) fetch(r *http.Request, query url.Values, addr string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	u := url.URL{Scheme: "http", Host: addr, Path: r.URL.Path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(partHeader, "1")
	if id, err := tenant.FromContext(r.Context()); err == nil {
		req.Header.Set(tenant.Header, id)
	}
	resp, err := g.o.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPart+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %.200s", resp.Status, bytes.TrimSpace(body))
	case len(body) > maxPart:
		return nil, fmt.Errorf("its answer is longer than %d bytes", maxPart)
	}
	return body, nil
}

// part is an answer in Prometheus's envelope, {"status": "success", "data": {"groups": […]}}, taken apart.
type part struct {
	envelope map[string]json.RawMessage // without warnings
	warnings []string
	list     string // its key in data: groups or alerts
	items    []item
	next     string // groupNextToken
}

// item is a group or an alert.
type item struct {
	raw       json.RawMessage
	file      string
	name      string // of a group; of an alert its labels
	signal    string
	evaluated time.Time
}

func decode(body []byte) (*part, error) {
	p := &part{}
	if err := json.Unmarshal(body, &p.envelope); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	if text, ok := p.envelope["warnings"]; ok {
		if err := json.Unmarshal(text, &p.warnings); err != nil {
			return nil, fmt.Errorf("its warnings: %w", err)
		}
		delete(p.envelope, "warnings")
	}
	var data struct {
		Groups, Alerts []json.RawMessage
	}
	if err := json.Unmarshal(p.envelope["data"], &data); err != nil {
		return nil, fmt.Errorf("its data: %w", err)
	}
	p.list = "groups"
	if data.Groups == nil {
		p.list = "alerts"
	}
	for _, raw := range append(data.Groups, data.Alerts...) {
		it := item{raw: raw}
		var has struct {
			File, Name, Signal string
			LastEvaluation     time.Time
			Labels             map[string]string
		}
		if err := json.Unmarshal(raw, &has); err != nil {
			return nil, fmt.Errorf("one of its %s: %w", p.list, err)
		}
		it.file, it.name, it.signal, it.evaluated = has.File, has.Name, has.Signal, has.LastEvaluation
		if p.list == "alerts" {
			text, err := json.Marshal(has.Labels)
			if err != nil {
				return nil, err
			}
			it.name = string(text)
		}
		p.items = append(p.items, it)
	}
	return p, nil
}

func (p *part) add(o *part) {
	p.items = append(p.items, o.items...)
	p.warnings = append(p.warnings, o.warnings...)
	if len(o.items) > 0 {
		p.list = o.list
	}
}

// order sorts, and of what two members have for the moment of a hand-over keeps what was evaluated last.
func (p *part) order() {
	place := func(a, b item) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.name, b.name), cmp.Compare(a.signal, b.signal))
	}
	slices.SortStableFunc(p.items, func(a, b item) int { return cmp.Or(place(a, b), b.evaluated.Compare(a.evaluated)) })
	p.items = slices.CompactFunc(p.items, func(a, b item) bool { return place(a, b) == 0 })
}

// page is which groups are asked for, as in Prometheus: at most limit of them, from that of a token on.
type page struct {
	limit int // 0: all
	token string
}

// takePage takes the page out of a question. What is wrong stays, for who is asked to say so.
func takePage(query url.Values) page {
	n, err := strconv.Atoi(query.Get("group_limit"))
	if err != nil || n <= 0 {
		return page{}
	}
	p := page{n, query.Get("group_next_token")}
	query.Del("group_limit")
	query.Del("group_next_token")
	return p
}

// token is Prometheus's name for a group.
func (it item) token() string {
	sum := sha1.Sum([]byte(it.file + ";" + it.name))
	return hex.EncodeToString(sum[:])
}

func (p *part) cut(pages page) error {
	if pages.limit == 0 {
		return nil
	}
	if pages.token != "" {
		at := slices.IndexFunc(p.items, func(it item) bool { return it.token() == pages.token })
		if at < 0 {
			return fault.Invalidf("invalid group_next_token '%s'. were rule groups changed?", pages.token)
		}
		p.items = p.items[at:]
	}
	if len(p.items) > pages.limit {
		p.next = p.items[pages.limit].token()
		p.items = p.items[:pages.limit]
	}
	return nil
}

// answer is what is encoded.
func (p *part) answer() any {
	list := make([]json.RawMessage, len(p.items))
	for i, it := range p.items {
		list[i] = it.raw
	}
	data := map[string]any{p.list: list}
	if p.next != "" {
		data["groupNextToken"] = p.next
	}
	out := map[string]any{}
	for k, v := range p.envelope {
		out[k] = v
	}
	out["data"] = data
	if len(p.warnings) > 0 {
		out["warnings"] = p.warnings
	}
	return out
}

// recorded is an answer that is held back.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorded) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorded) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorded) Write(data []byte) (int, error) { return r.body.Write(data) }

func (r *recorded) copyTo(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}
