package logql

import (
	"context"
	"slices"
	"strings"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
	"github.com/hune-io/hune/internal/logs"
)

// pageView is a page under one plan.
type pageView struct {
	plan   *pushPlan
	page   *logs.Page
	lines  *column.Column // nil until open
	labels map[string]*pageLabel
	memo   map[memoKey]verdicts
	set    *labelSet // scratch: a row with the label that is judged
}

// pageLabel is where the rows of a page have a label. A row of a stream that has it takes it from there; else
// one whose metadata have it, from these; else the parser's is taken.
type pageLabel struct {
	name string
	// unclear: rows have it under rules that depend on the row.
	unclear  bool
	runs     []string // by run: the stream's value; nil: no stream has it
	hasRun   []bool
	metadata *column.Column // nil: no row has it
	parsed   []origin       // by template; nil: no parser, or lines without templates
}

func newPageView(plan *pushPlan, page *logs.Page) *pageView {
	return &pageView{plan: plan, page: page, labels: map[string]*pageLabel{}, memo: map[memoKey]verdicts{}, set: newLabelSetOf(&hints{})}
}

// open reads what the columns of the page are. Before it, only labels are known that neither the metadata nor
// the parser may have.
func (v *pageView) open(ctx context.Context) error {
	if v.lines != nil {
		return nil
	}
	if err := v.page.Open(ctx); err != nil {
		return ofSource(err)
	}
	v.lines = v.page.Lines()
	return nil
}

// inMetadata reports whether rows have a key of structured metadata, as far as columns tell, or may have any
// other.
func (v *pageView) inMetadata(key string) (found, overflow bool) {
	keys, overflow := v.page.MetadataKeys()
	_, found = slices.BinarySearch(keys, key)
	return found, overflow
}

// metadata returns the column of a key, or nil.
func (v *pageView) metadata(key string) *column.Column {
	if found, _ := v.inMetadata(key); !found {
		return nil
	}
	return v.page.Metadata(key)
}

// label finds out where the page has a label. It reads nothing.
func (v *pageView) label(name string) *pageLabel {
	if l := v.labels[name]; l != nil {
		return l
	}
	l := &pageLabel{name: name}
	v.labels[name] = l
	n := v.findRuns(l)
	l.metadata = v.metadata(name)
	names := []string{name}
	if base, ok := strings.CutSuffix(name, extractedSuffix); ok {
		clash := pageLabel{name: base}
		taken := v.findRuns(&clash)
		l.unclear = n > 0 || l.metadata != nil || v.metadata(base) != nil || taken > 0 && taken < len(v.page.Runs)
		if taken > 0 {
			names = append(names, base)
		}
	}
	if p := v.plan.parser; p != nil && !p.needless && v.lines.Kind == column.Text {
		l.parsed = make([]origin, len(v.lines.Templates))
		for k := range l.parsed {
			if v.lines.Templates[k].Rows > 0 {
				l.parsed[k] = p.originOf(&v.lines.Templates[k], names)
			}
		}
	}
	return l
}

// want notes the columns of a label as wanted, and reports whether they are at hand.
func (v *pageView) want(r *column.Reader, name string) bool {
	at := v.label(name)
	ready := at.metadata == nil || r.Want(at.metadata)
	for k, o := range at.parsed {
		if o.kind == inSlot {
			ready = r.Want(v.lines.Templates[k].Slots[o.slot].Values()) && ready
		}
	}
	if at.parsed != nil {
		ready = r.Want(v.lines.IDs) && ready
	}
	return ready
}

// findRuns fills in the values of streams and returns how many runs have one.
func (v *pageView) findRuns(l *pageLabel) (n int) {
	for i, run := range v.page.Runs {
		ls := v.page.Streams[run.Stream]
		if !ls.Has(l.name) {
			continue
		}
		if l.runs == nil {
			l.runs, l.hasRun = make([]string, len(v.page.Runs)), make([]bool, len(v.page.Runs))
		}
		l.runs[i], l.hasRun[i] = ls.Get(l.name), true
		n++
	}
	return n
}

// unread returns the rows that the parser may find a fault in, or whose fields aren't known.
func (v *pageView) unread(r *column.Reader) column.Set {
	p := v.plan.parser
	if p == nil || p.needless {
		return column.None
	}
	if v.lines.Kind != column.Text {
		return column.All
	}
	var parts []templateRows
	for k := range v.lines.Templates {
		t := &v.lines.Templates[k]
		if !p.readable(t) {
			parts = append(parts, templateRows{k, -1, column.All})
		}
	}
	return v.spread(r, parts)
}

// templateRows are rows of a template: those whose value in the column of slot is in set. With slot -1 set
// is None or All.
type templateRows struct {
	template, slot int
	set            column.Set
}

// spread returns the rows of the page that parts are.
func (v *pageView) spread(r *column.Reader, parts []templateRows) column.Set {
	n, all := 0, 0
	for _, p := range parts {
		switch rows := v.lines.Templates[p.template].Rows; {
		case p.set.IsNone():
			continue
		case p.set.IsAll():
			all += rows
		}
		n++
	}
	switch {
	case n == 0:
		return column.None
	case all == v.page.Rows:
		return column.All // Fast path: the template of a row makes no difference.
	}
	whole, partly := make([]bool, len(v.lines.Templates)), false
	for _, p := range parts {
		whole[p.template] = whole[p.template] || p.set.IsAll()
		partly = partly || p.set.Bits() != nil
	}
	rows := r.RowsOfTemplates(v.lines, whole)
	if !partly {
		return rows
	}
	out := block.NewBitmap(v.page.Rows)
	for _, p := range parts {
		if p.set.Bits() != nil {
			v.spreadTemplate(r, out, p)
		}
	}
	return rows.Or(column.SetOf(out))
}

func (v *pageView) spreadTemplate(r *column.Reader, out *block.Bitmap, p templateRows) {
	rows := r.TemplateRows(v.lines, p.template)
	bits := p.set.Bits()
	places := r.SlotRows(v.lines, p.template, p.slot)
	if places == nil {
		n := v.lines.Templates[p.template].Rows
		for j := bits.Next(0); j >= 0 && j < n; j = bits.Next(j + 1) {
			if rows == nil {
				out.Set(j)
			} else {
				out.Set(int(rows[j]))
			}
		}
		return
	}
	for j, at := range places {
		if !bits.Get(int(at)) {
			continue
		}
		if rows == nil {
			out.Set(j)
		} else {
			out.Set(int(rows[j]))
		}
	}
}
