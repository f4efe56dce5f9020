package logql

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buger/jsonparser"
	"github.com/dustin/go-humanize"

	"github.com/hune-io/hune/internal/logs"
)

const (
	defaultFieldLines = 1000
	defaultFieldLimit = 1000
	maxFieldValues    = 5000 // counted exactly up to here
)

// field is what is known about a detected field.
type field struct {
	name    string
	kind    string // how the value looked at last looks; lines come newest first
	values  map[string]struct{}
	parsers []string
	path    []string
}

// detector looks for fields in the entries of a log query: metadata, what the query's parsers found,
// and what json or logfmt find in the line.
type detector struct {
	fields map[string]*field
	order  []*field
	limit  int
	only   string // the one field whose values are wanted
	set    *labelSet
	json   *jsonStep
	logfmt *logfmtStep
	query  *pipeline
	left   int
	paths  map[string][]string
}

func (r *run) detectFields() error {
	lq, err := ParseLogQuery(r.q.Expr)
	if err != nil {
		return err
	}
	sel := logs.Select{
		Matchers: lq.Matchers, Start: r.q.Start, End: max(r.q.End, r.q.Start+1), Direction: logs.Backward, Filters: pushdown(lq.Stages),
	}
	lines := r.q.LineLimit
	if lines <= 0 {
		lines = defaultFieldLines
	}
	lines = min(lines, r.limits.MaxEntries)
	if keepsAll(lq.Stages) {
		sel.Limit = lines
	}
	p, err := compile(lq.Stages)
	if err != nil {
		if any, serr := r.anyStream(sel); any || serr != nil {
			return firstError(serr, err)
		}
		return nil
	}
	sel.Narrow = r.narrow(lq.Stages, logHints(p.filters))
	limit := r.q.Limit
	if limit <= 0 {
		limit = defaultFieldLimit
	}
	d := &detector{fields: map[string]*field{}, limit: limit, query: p, left: lines, json: newJSONStep(), logfmt: &logfmtStep{}, paths: map[string][]string{}}
	if r.q.Kind == logs.DetectedFieldValues {
		d.only, d.limit = r.q.Label, 1
	}
	d.set = newLabelSet(logHints(p.filters))
	if err := newRowReader(r).each(sel, d.row); err != nil {
		return err
	}
	d.result(r, limit)
	return nil
}

func (d *detector) row(base *stream, ts int64, line []byte, md []logs.Label) (bool, error) {
	d.set.reset(base, md)
	out, ok := d.query.run(ts, line, d.set)
	if !ok {
		return true, nil
	}
	var parsed []string
	for i := range d.set.changes {
		c := &d.set.changes[i]
		switch {
		case c.deleted || strings.HasPrefix(c.name, "__"):
		case c.from == fromMetadata:
			d.add(c.name, c.value, "", nil)
		case c.from == fromParser:
			parsed = append(parsed, c.name, strings.Clone(c.value))
		}
	}
	parser := d.line(base, out)
	for i := 0; i < len(parsed); i += 2 {
		d.add(parsed[i], parsed[i+1], parser, nil)
	}
	d.left--
	return d.left > 0, nil
}

// line takes the fields of a line and says which parser knew it.
func (d *detector) line(base *stream, line []byte) string {
	free := d.set
	saved := free.hints
	free.hints = &hints{}
	defer func() { free.hints = saved }()
	free.reset(base, nil)
	if d.json.process(0, line, free); free.err == "" {
		d.found("json", line)
		return "json"
	}
	free.reset(base, nil)
	d.logfmt.process(0, line, free)
	d.found("logfmt", line)
	return "logfmt"
}

func (d *detector) found(parser string, line []byte) {
	for i := range d.set.changes {
		c := &d.set.changes[i]
		var path []string
		if parser == "json" {
			if f := d.fields[c.name]; f == nil || f.path == nil {
				path = jsonPathOf(line, strings.TrimSuffix(c.name, extractedSuffix))
			}
		}
		d.add(c.name, c.value, parser, path)
	}
}

// jsonPathOf returns the keys under which a line has the label name.
func jsonPathOf(line []byte, name string) []string {
	var out []string
	var walk func(data []byte, path []string) error
	walk = func(data []byte, path []string) error {
		return jsonparser.ObjectEach(data, func(key, value []byte, t jsonparser.ValueType, _ int) error {
			here := append(slices.Clone(path), string(key))
			if t == jsonparser.Object && len(here) < maxJSONDepth {
				return walk(value, here)
			}
			if sanitizeKey(strings.Join(here, "_")) == name {
				out = here
				return errParseDone
			}
			return nil
		})
	}
	_ = walk(line, nil) // the line parsed before; the only error is errParseDone
	return out
}

func (d *detector) add(name, value, parser string, path []string) {
	if strings.HasPrefix(name, "__") || d.only != "" && name != d.only {
		return
	}
	f := d.fields[name]
	if f == nil {
		if len(d.fields) >= d.limit {
			return
		}
		f = &field{name: strings.Clone(name), values: map[string]struct{}{}}
		d.fields[f.name] = f
		d.order = append(d.order, f)
	}
	if parser != "" && !slices.Contains(f.parsers, parser) {
		f.parsers = append(f.parsers, parser)
	}
	if path != nil {
		f.path = path
	}
	f.kind = fieldType(value)
	if _, ok := f.values[value]; !ok && len(f.values) < maxFieldValues {
		f.values[strings.Clone(value)] = struct{}{}
	}
}

func (d *detector) result(r *run, limit int) {
	slices.SortFunc(d.order, func(a, b *field) int { return strings.Compare(a.name, b.name) })
	for _, f := range d.order {
		if r.q.Kind == logs.DetectedFieldValues {
			for v := range f.values {
				r.res.Strings = append(r.res.Strings, v)
			}
			slices.Sort(r.res.Strings)
			r.res.Strings = r.res.Strings[:min(limit, len(r.res.Strings))]
			continue
		}
		r.res.Fields = append(r.res.Fields, logs.DetectedField{
			Name: f.name, Type: f.kind, Cardinality: uint64(len(f.values)), Parsers: f.parsers, JSONPath: f.path,
		})
	}
}

// fieldType guesses a type from one value.
func fieldType(v string) string {
	if _, err := strconv.ParseInt(v, 10, 64); err == nil {
		return "int"
	}
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return "float"
	}
	if _, err := strconv.ParseBool(v); err == nil {
		return "boolean"
	}
	if _, err := time.ParseDuration(v); err == nil {
		return "duration"
	}
	if _, err := humanize.ParseBytes(v); err == nil {
		return "bytes"
	}
	return "string"
}
