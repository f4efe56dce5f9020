package logql

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// series is one series over all evaluation times; values where it has no sample are absent.
type series struct {
	labels labels.Labels
	values []float64
}

// absentBits is a NaN that no arithmetic makes.
const absentBits = 0x7ff0000000000bad

func absentValue() float64    { return math.Float64frombits(absentBits) }
func isAbsent(v float64) bool { return math.Float64bits(v) == absentBits }

func (r *run) newSeries(ls labels.Labels, n int) (*series, error) {
	if err := r.hold(n, int64(n)*sampleBytes+seriesBytes); err != nil {
		return nil, err
	}
	s := &series{labels: ls, values: make([]float64, n)}
	for i := range s.values {
		s.values[i] = absentValue()
	}
	return s, nil
}

// rangeAgg evaluates a range aggregation.
func (ev *evaluator) rangeAgg(n *rangeNode) ([]*series, error) {
	found, err := ev.samples(n)
	if err != nil {
		return nil, err
	}
	e, f := n.agg, foldOf(n.agg)
	if e.Op == OpAbsent {
		return ev.absent(e, found)
	}
	out := make([]*series, 0, len(found))
	for _, s := range found {
		one, err := ev.r.newSeries(s.labels, ev.grid.n)
		if err != nil {
			return nil, err
		}
		s.buckets.windows(&f, ev.grid.n, func(step int, v float64) { one.values[step] = v })
		ev.r.release(0, s.buckets.size())
		s.buckets = nil
		out = append(out, one)
	}
	return out, nil
}

// samples makes the samples of a range aggregation's rows, or has jobs make them.
func (ev *evaluator) samples(n *rangeNode) ([]*extracted, error) {
	if m, ok := n.in.(*mergeNode); ok {
		return ev.merge(n, m)
	}
	sel := ev.selectOf(n)
	x, err := newExtractor(ev.r, n)
	if err != nil {
		if any, serr := ev.r.anyStream(sel); any || serr != nil {
			return nil, firstError(serr, err)
		}
		return nil, nil
	}
	f := foldOf(n.agg)
	x.grid, x.offset, x.fold = ev.window(n), n.agg.Range.Offset.Nanoseconds(), &f
	found, err := ev.extract(x, sel)
	for _, s := range found {
		for i := range s.buckets {
			ev.r.res.Stats.PostFilterLines += int64(s.buckets[i].acc.n)
		}
	}
	return found, err
}

// window is the grid with the window of n.
func (ev *evaluator) window(n *rangeNode) grid {
	g := ev.grid
	g.window = n.agg.Range.Interval.Nanoseconds()
	return g
}

// selectOf is what a range aggregation asks of the source.
func (ev *evaluator) selectOf(n *rangeNode) logs.Select {
	scan, g := scanOf(n), ev.window(n)
	offset := scan.offset.Nanoseconds()
	return ev.r.within(logs.Select{Matchers: scan.matchers, Direction: logs.Forward, Filters: scan.filters, Shard: ev.r.q.Shard,
		Start: g.start - g.window - offset + 1, End: g.start + int64(g.n-1)*g.step - offset + 1})
}

// extract makes the samples of the rows of sel: from pages where the order of rows makes no difference.
func (ev *evaluator) extract(x *extractor, sel logs.Select) ([]*extracted, error) {
	if ev.scans(x.node) {
		undo := ev.r.mark()
		found, err := ev.scan(x, sel)
		if !errors.Is(err, errRowByRow) {
			return found, err
		}
		undo()
	}
	if !x.doubled {
		sel.Narrow = ev.r.narrow(x.e.Range.Query.Stages, x.set.hints)
	}
	err := newRowReader(ev.r).each(sel, x.row)
	return x.order, err
}

// absent is 1 where nothing was found, with the labels that the selector demands.
func (ev *evaluator) absent(e *RangeAgg, found []*extracted) ([]*series, error) {
	b := labels.NewScratchBuilder(len(e.Range.Query.Matchers))
	seen := map[string]int{}
	for _, m := range e.Range.Query.Matchers {
		seen[m.Name]++
	}
	for _, m := range e.Range.Query.Matchers {
		if m.Type == labels.MatchEqual && m.Value != "" && seen[m.Name] == 1 {
			b.Add(m.Name, m.Value)
		}
	}
	b.Sort()
	s, err := ev.r.newSeries(b.Labels(), ev.grid.n)
	if err != nil {
		return nil, err
	}
	present := make([]bool, ev.grid.n)
	for _, f := range found {
		for _, b := range f.buckets {
			for k := b.lo; k <= b.hi; k++ {
				present[k] = true
			}
		}
	}
	for k, p := range present {
		if !p {
			s.values[k] = 1
		}
	}
	return []*series{s}, nil
}

// extracted is a series while its samples come in.
type extracted struct {
	labels  labels.Labels
	buckets buckets
	counts  []uint32 // rows of the page at hand that are in no bucket, by window from least on; see tally
	least   int

	// What follows says which series comes first, for topk and the like.
	first  place       // of the first row: of the page at hand, where pages are scanned
	merged *scanSeries // the series that this is a part of; nil: not known yet
}

// extractor makes samples of rows.
type extractor struct {
	r       *run
	node    *rangeNode
	e       *RangeAgg
	rows    int // seen so far
	p       *pipeline
	set     *labelSet
	unwrap  func(string) (float64, error)
	filters []labelPredicate // after the unwrap
	grid    grid
	offset  int64
	fold    *fold

	grouping *Grouping // nil: all labels
	without  []string
	doubled  bool // variants: metadata count as stream labels, too

	series map[string]*extracted // by final labels
	byRow  map[string]*extracted // by what made the labels
	order  []*extracted
	key    []byte

	streams map[string]*stream

	touched func(*extracted) // scans of pages: told of the series of each row; it counts what is held
}

func newExtractor(r *run, n *rangeNode) (*extractor, error) {
	e := n.agg
	p, err := compile(stagesOf(n.in))
	if err != nil {
		return nil, err
	}
	x := &extractor{r: r, node: n, e: e, p: p, series: map[string]*extracted{}, byRow: map[string]*extracted{}, doubled: n.doubled}
	x.grouping = e.Grouping
	if n.around != nil {
		x.grouping = n.around
	}
	if e.Op == OpAbsent {
		x.grouping = &Grouping{}
	}
	if x.grouping != nil && x.grouping.Without && len(x.grouping.Labels) == 0 {
		x.grouping = nil
	}
	unwrapLabel := ""
	if u := e.Range.Unwrap; u != nil {
		if err := x.compileUnwrap(u); err != nil {
			return nil, err
		}
		unwrapLabel = u.Label
	}
	if x.grouping == nil || x.grouping.Without {
		if x.grouping != nil {
			x.without = append(x.without, x.grouping.Labels...)
		}
		if unwrapLabel != "" {
			x.without = append(x.without, unwrapLabel)
		}
	}
	x.set = newLabelSet(sampleHints(p.filters, p.needed, x.grouping, unwrapLabel))
	return x, nil
}

func (x *extractor) compileUnwrap(u *Unwrap) error {
	switch u.Conversion {
	case "":
		x.unwrap = parseNumber
	case "bytes":
		x.unwrap = func(s string) (float64, error) {
			n, err := humanize.ParseBytes(s)
			return float64(n), err
		}
	case "duration", "duration_seconds":
		x.unwrap = func(s string) (float64, error) {
			d, err := time.ParseDuration(s)
			return d.Seconds(), err
		}
	default:
		return fault.Errorf(fault.NotYet, "unwrap conversion %s is not supported yet", u.Conversion)
	}
	for _, f := range u.Filters {
		c, err := newLabelPredicate(f)
		if err != nil {
			return invalidf("stage '%s' : %s", f, err)
		}
		x.filters = append(x.filters, c)
		x.p.needed = append(x.p.needed, filterNames(f, nil)...)
	}
	return nil
}

func (x *extractor) row(base *stream, ts int64, line []byte, md []logs.Label) (bool, error) {
	lo, hi := x.grid.steps(ts + x.offset)
	if lo > hi {
		return true, nil
	}
	if x.doubled {
		base = x.withMetadata(base, md)
	}
	x.set.reset(base, md)
	line, ok := x.p.run(ts, line, x.set)
	if !ok {
		return true, nil
	}
	v, ok := x.value(line)
	if !ok {
		return true, nil
	}
	if x.set.err != "" && !x.set.hints.preserve && x.e.Op != OpAbsent {
		return false, x.pipelineError()
	}
	s, created := x.find()
	before := len(s.buckets)
	if x.touched != nil {
		x.touched(s)
		s.buckets.add(x.fold, lo, hi, ts, v)
		return true, nil
	}
	s.buckets.add(x.fold, lo, hi, ts, v)
	x.rows++
	held, bytes := 0, int64(0)
	if created {
		s.first = place{ts, base.labels, x.rows}
		held, bytes = held+seriesWeight, bytes+seriesBytes+int64(len(x.key))
	}
	switch {
	case len(s.buckets) > before:
		held, bytes = held+1, bytes+bucketBytes
	case x.e.Op == OpQuantile:
		held, bytes = held+1, bytes+sampleBytes
	}
	if held == 0 {
		return true, nil
	}
	return true, x.r.hold(held, bytes)
}

// value is the sample of the row at hand.
func (x *extractor) value(line []byte) (float64, bool) {
	if x.unwrap == nil {
		if x.e.Op == OpBytes || x.e.Op == OpBytesRate {
			return float64(len(line)), true
		}
		return 1, true
	}
	text, _, _ := x.set.get(x.e.Range.Unwrap.Label)
	if text == "" {
		return 0, false
	}
	v, err := x.unwrap(text)
	if err != nil {
		v = 0
		x.set.fail(errSampleExtraction, err.Error())
	}
	for _, f := range x.filters {
		if !f.keep(x.set) {
			return 0, false
		}
	}
	return v, true
}

func (x *extractor) pipelineError() error {
	ls := x.set.makeLabels(x.set.final())
	return fmt.Errorf("pipeline error: '%s' for series: '%s'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"%s\").\n"+
		"To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n"+
		"The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n", x.set.err, ls, x.set.err)
}

// find returns the series of the row at hand, and whether it is a new one.
func (x *extractor) find() (s *extracted, created bool) {
	g := x.grouping
	if g != nil && !g.Without && x.set.err == "" {
		x.key = x.key[:0]
		for _, name := range g.Labels {
			v, _, ok := x.set.get(name)
			if !ok {
				x.key = append(x.key, 0)
				continue
			}
			x.key = appendText(append(x.key, 1), v)
		}
	} else {
		x.key = x.set.appendKey(append(x.key[:0], 2))
	}
	if s, ok := x.byRow[string(x.key)]; ok {
		return s, false
	}
	var ls []logs.Label
	if g != nil && !g.Without && x.set.err == "" {
		ls = x.groupLabels(g)
	} else {
		ls = slices.DeleteFunc(x.set.final(), func(l logs.Label) bool { return slices.Contains(x.without, l.Name) })
	}
	name := make([]byte, 0, 256)
	for _, l := range ls {
		name = appendText(appendText(name, l.Name), l.Value)
	}
	if s = x.series[string(name)]; s == nil {
		created = true
		s = &extracted{labels: x.set.makeLabels(ls)}
		x.series[string(name)] = s
		x.order = append(x.order, s)
	}
	if len(x.byRow) > 100_000 {
		clear(x.byRow)
	}
	x.byRow[string(x.key)] = s
	return s, created
}

func (x *extractor) groupLabels(g *Grouping) []logs.Label {
	out := x.set.sorted[:0]
	for _, name := range g.Labels {
		if v, _, ok := x.set.get(name); ok {
			out = append(out, logs.Label{Name: name, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b logs.Label) int { return strings.Compare(a.Name, b.Name) })
	out = slices.CompactFunc(out, func(a, b logs.Label) bool { return a.Name == b.Name })
	x.set.sorted = out
	return out
}

// withMetadata is base with md as further labels. In variants Loki reads rows whose metadata have
// become labels already, and adds them once more.
func (x *extractor) withMetadata(base *stream, md []logs.Label) *stream {
	if len(md) == 0 {
		return base
	}
	key := append([]byte(nil), base.key()...)
	for _, l := range md {
		key = appendText(appendText(key, l.Name), l.Value)
	}
	if x.streams == nil {
		x.streams = map[string]*stream{}
	}
	if s, ok := x.streams[string(key)]; ok {
		return s
	}
	if len(x.streams) >= 10_000 {
		clear(x.streams)
		clear(x.byRow)
	}
	s := &stream{id: uint32(len(x.streams)), list: slices.Clone(base.list)}
	for _, l := range md {
		if _, clash := base.find(l.Name); !clash {
			s.list = append(s.list, logs.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)})
		}
	}
	slices.SortFunc(s.list, func(a, b logs.Label) int { return strings.Compare(a.Name, b.Name) })
	x.streams[string(key)] = s
	return s
}

func (s *stream) key() []byte { return strconv.AppendUint(nil, uint64(s.id), 10) }
