package logql

import (
	"slices"

	"github.com/hune-io/hune/internal/logs"
)

// labelsQuery answers the questions about labels of streams.
func (r *run) labelsQuery() error {
	sets, err := r.matcherSets()
	if err != nil {
		return err
	}
	end := r.q.End
	if end == r.q.Start {
		end++
	}
	switch r.q.Kind {
	case logs.LabelNames:
		r.res.Strings, err = logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, "")
	case logs.LabelValues:
		if r.q.Label == "" {
			return nil
		}
		r.res.Strings, err = logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, r.q.Label)
	case logs.DetectedLabels:
		r.res.Fields, err = r.detectLabels(end, sets)
	default:
		r.res.Series, err = r.src.Series(r.ctx, r.tenant, r.q.Start, end, sets)
	}
	return err
}

// matcherSets reads the selectors of the query. None means every stream.
func (r *run) matcherSets() ([][]logs.Matcher, error) {
	selectors := r.q.Match
	if r.q.Expr != "" {
		selectors = append(slices.Clone(selectors), r.q.Expr)
	}
	var sets [][]logs.Matcher
	for _, s := range selectors {
		ms, err := ParseMatchers(s, r.q.Kind == logs.SeriesKind)
		if err != nil {
			return nil, err
		}
		if len(ms) == 0 {
			return nil, nil
		}
		sets = append(sets, ms)
	}
	return sets, nil
}

// alwaysShown are labels that tell sources apart, so they are listed whatever their values.
var alwaysShown = []string{"cluster", "namespace", "instance", "pod"}

// detectLabels counts the values of labels. Labels whose values are all numbers or UUIDs identify
// single things and are of no use for choosing streams.
func (r *run) detectLabels(end int64, sets [][]logs.Matcher) ([]logs.DetectedField, error) {
	names, err := logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, "")
	if err != nil {
		return nil, err
	}
	var out []logs.DetectedField
	for _, name := range names {
		values, err := logs.LabelStrings(r.ctx, r.src, r.tenant, r.q.Start, end, sets, name)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 && (slices.Contains(alwaysShown, name) || !allIDs(values)) {
			out = append(out, logs.DetectedField{Name: name, Cardinality: uint64(len(values))})
		}
	}
	return out, nil
}

func allIDs(values []string) bool {
	for _, v := range values {
		if !isUUID(v) && fieldType(v) != "int" && fieldType(v) != "float" {
			return false
		}
	}
	return true
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f'):
			return false
		}
	}
	return true
}
