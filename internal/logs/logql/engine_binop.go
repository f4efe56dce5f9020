package logql

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
)

func isSetOp(op string) bool { return op == "and" || op == "or" || op == "unless" }

func isComparison(op string) bool {
	switch op {
	case "==", "!=", ">", ">=", "<", "<=":
		return true
	}
	return false
}

// arithmetic computes l op r; comparisons are 1 or 0.
func arithmetic(op string, l, r float64) float64 {
	switch op {
	case "+":
		return l + r
	case "-":
		return l - r
	case "*":
		return l * r
	case "/":
		if r == 0 {
			return math.NaN() // as Loki has it, whatever is divided
		}
		return l / r
	case "%":
		return math.Mod(l, r)
	case "^":
		return math.Pow(l, r)
	}
	if compare(op, l, r) {
		return 1
	}
	return 0
}

func compare(op string, l, r float64) bool {
	switch op {
	case "==":
		return l == r
	case "!=":
		return l != r
	case ">":
		return l > r
	case ">=":
		return l >= r
	case "<":
		return l < r
	}
	return l <= r
}

// combine is one sample of two. A comparison without bool keeps one of them, or nothing.
func (e *BinOp) combine(l, r, kept float64) float64 {
	if isComparison(e.Op) && !e.Bool {
		if compare(e.Op, l, r) {
			return kept
		}
		return absentValue()
	}
	return arithmetic(e.Op, l, r)
}

func (ev *evaluator) binOp(n *binaryNode) (value, error) {
	e := n.op
	l, err := ev.eval(n.left)
	if err != nil {
		return value{}, err
	}
	r, err := ev.eval(n.right)
	if err != nil {
		return value{}, err
	}
	switch {
	case l.scalar && r.scalar:
		return value{scalar: true, number: arithmetic(e.Op, l.number, r.number)}, nil
	case l.scalar || r.scalar:
		ev.withNumber(e, l, r)
		if l.scalar {
			return r, nil
		}
		return l, nil
	}
	m := e.Matching
	if m == nil {
		m = &Matching{}
	}
	if isSetOp(e.Op) {
		return value{series: ev.setOp(e.Op, m, l.series, r.series)}, nil
	}
	out, err := ev.join(e, m, l.series, r.series)
	return value{series: out}, err
}

// withNumber applies e in place to the side that is series.
func (ev *evaluator) withNumber(e *BinOp, l, r value) {
	for _, s := range slices.Concat(l.series, r.series) {
		for k, v := range s.values {
			switch {
			case isAbsent(v):
			case l.scalar:
				s.values[k] = e.combine(l.number, v, v)
			default:
				s.values[k] = e.combine(v, r.number, v)
			}
		}
	}
}

// signatures maps series to the values of the labels that m compares.
func signatures(m *Matching, in []*series) ([]int, map[string]int) {
	of, index := make([]int, len(in)), map[string]int{}
	signaturesInto(m, in, of, index)
	return of, index
}

func signaturesInto(m *Matching, in []*series, of []int, index map[string]int) {
	var key []byte
	names := slices.Sorted(slices.Values(m.Labels))
	for i, s := range in {
		if m.On {
			key = s.labels.BytesWithLabels(key[:0], names...)
		} else {
			key = s.labels.BytesWithoutLabels(key[:0], names...)
		}
		n, ok := index[string(key)]
		if !ok {
			n = len(index)
			index[string(key)] = n
		}
		of[i] = n
	}
}

// setOp is and, or and unless: series of one side are kept where the other side has, or lacks, a
// sample of the same signature.
func (ev *evaluator) setOp(op string, m *Matching, l, r []*series) []*series {
	lsig, index := signatures(m, l)
	rsig := make([]int, len(r))
	signaturesInto(m, r, rsig, index)
	present := make([]bool, len(index))
	mark := func(in []*series, sig []int, k int) {
		clear(present)
		for i, s := range in {
			if !isAbsent(s.values[k]) {
				present[sig[i]] = true
			}
		}
	}
	for k := 0; k < ev.grid.n; k++ {
		if op == "or" {
			mark(l, lsig, k)
			for i, s := range r {
				if present[rsig[i]] {
					s.values[k] = absentValue()
				}
			}
			continue
		}
		mark(r, rsig, k)
		for i, s := range l {
			if present[lsig[i]] != (op == "and") {
				s.values[k] = absentValue()
			}
		}
	}
	if op == "or" {
		return slices.Concat(l, r)
	}
	return l
}

func matchError(text string) error { return fault.Errorf(fault.Internal, "%s", text) }

const (
	duplicateText = " hand-side;many-to-many matching not allowed: matching labels must be unique on one side"
	manyToOneText = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
	groupingText  = "multiple matches for labels: grouping labels must ensure unique matches"
)

// join is an arithmetic or comparison of two sets of series.
func (ev *evaluator) join(e *BinOp, m *Matching, l, r []*series) ([]*series, error) {
	many, oneSide, side := l, r, "right"
	if m.Card == OneToMany {
		many, oneSide, side = r, l, "left"
	}
	manySig, index := signatures(m, many)
	oneSig := make([]int, len(oneSide))
	signaturesInto(m, oneSide, oneSig, index)
	match := make([]int, len(index)) // series of oneSide at this instant, +1
	used := make([]bool, len(index))
	out := newJoined(ev, m)
	for k := 0; k < ev.grid.n; k++ {
		clear(match)
		clear(used)
		for i, s := range oneSide {
			if isAbsent(s.values[k]) {
				continue
			}
			if match[oneSig[i]] != 0 {
				return nil, matchError("found duplicate series on the " + side + duplicateText)
			}
			match[oneSig[i]] = i + 1
		}
		for i, s := range many {
			sig := manySig[i]
			if isAbsent(s.values[k]) || match[sig] == 0 {
				continue
			}
			other := match[sig] - 1
			lv, rv := s.values[k], oneSide[other].values[k]
			if m.Card == OneToMany {
				lv, rv = rv, lv
			}
			v := e.combine(lv, rv, lv)
			if isAbsent(v) {
				continue
			}
			if m.Card == OneToOne && used[sig] {
				return nil, matchError(manyToOneText)
			}
			used[sig] = true
			if err := out.put(i, other, s, oneSide[other], k, v); err != nil {
				return nil, err
			}
		}
	}
	return out.order, nil
}

// joined collects the series of a join by their labels.
type joined struct {
	ev     *evaluator
	m      *Matching
	byPair map[[2]int]*series
	byName map[string]*series
	order  []*series
	b      *labels.Builder
}

func newJoined(ev *evaluator, m *Matching) *joined {
	return &joined{ev: ev, m: m, byPair: map[[2]int]*series{}, byName: map[string]*series{}, b: labels.NewBuilder(labels.EmptyLabels())}
}

func (j *joined) put(many, other int, ms, os *series, k int, v float64) error {
	s := j.byPair[[2]int{many, other}]
	if s == nil {
		ls := j.resultLabels(ms.labels, os.labels)
		name := string(ls.Bytes(nil))
		if s = j.byName[name]; s == nil {
			var err error
			if s, err = j.ev.r.newSeries(ls, j.ev.grid.n); err != nil {
				return err
			}
			j.byName[name] = s
			j.order = append(j.order, s)
		}
		j.byPair[[2]int{many, other}] = s
	}
	if !isAbsent(s.values[k]) {
		return matchError(groupingText)
	}
	s.values[k] = v
	return nil
}

// resultLabels are the labels of a pair: of the many side with group_left and group_right, else those
// that were compared.
func (j *joined) resultLabels(many, other labels.Labels) labels.Labels {
	j.b.Reset(many)
	switch {
	case j.m.Card != OneToOne:
	case j.m.On:
		j.b.Keep(j.m.Labels...)
	default:
		j.b.Del(j.m.Labels...)
	}
	for _, name := range j.m.Include {
		if v := other.Get(name); v != "" {
			j.b.Set(name, v)
		} else {
			j.b.Del(name)
		}
	}
	return j.b.Labels()
}
