package traces

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// countingStore counts how often row groups are opened.
type countingStore struct {
	groupStore
	opened int
}

func (s *countingStore) directory(ctx context.Context, i int) (*groupDirectory, error) {
	s.opened++
	return s.groupStore.directory(ctx, i)
}

// TestSplitCandidates: of traces in pieces those are answered whose pieces meet the conditions together, wherever each
// is met, and row groups are opened a few times for all of them.
func TestSplitCandidates(t *testing.T) {
	const groups, n = 3, 2000
	pieces := [groups][]*Trace{}
	var want []*Trace
	sealed := &sealedSet{}
	for k := range groups {
		b := takeBuilder(block.Fast)
		for i := range n {
			tr := &Trace{ID: ID{1, byte(i), byte(i >> 8)}}
			s := &Span{ID: SpanID{1, byte(k)}, Name: "s", Start: genBase + uint64(i), End: genBase + uint64(i), Order: uint32(k), Resource: &Resource{}, Scope: &Scope{}}
			if i%(k+2) == 0 {
				s.Name = string(rune('a' + k))
			}
			tr.Spans = []*Span{s}
			pieces[k] = append(pieces[k], tr)
			b.add(tr, sizeOf(tr))
		}
		encoded, err := b.encode(block.Fast)
		require.NoError(t, err)
		giveBuilder(b, block.Fast)
		sealed.groups = append(sealed.groups, encoded)
	}
	set := sealed.part()
	for i := range n {
		at := genBase + uint64(i)
		s := splitTrace{Piece: Piece{ID: pieces[0][i].ID, Start: at, End: at}}
		for k := range groups {
			s.places = append(s.places, tracePlace{k, i})
		}
		set.split = append(set.split, s)
		want = append(want, JoinTraces(pieces[0][i], pieces[1][i], pieces[2][i]))
	}
	named := func(name string) Condition {
		return Condition{Scope: "intrinsic", Key: "name", Op: "=", Operand: Attribute{Str: name}}
	}
	for name, q := range map[string]Select{
		"all":     {},
		"one":     {Conditions: []Condition{named("b")}},
		"any":     {Conditions: []Condition{named("a"), named("c")}},
		"each":    {Conditions: []Condition{named("a"), named("b"), named("c")}, AllConditions: true},
		"nothing": {Conditions: []Condition{named("x")}},
		"range":   {Conditions: []Condition{named("a"), named("b")}, AllConditions: true, Start: genBase + 100, End: genBase + 200},
	} {
		store := &countingStore{groupStore: sealed}
		set.store = store
		tests := compileConditions(q)
		var ids []ID
		for i := n - 1; i >= 0; i-- {
			if start, end := want[i].Bounds(); q.overlaps(start, end) && tests.trace(want[i]) {
				ids = append(ids, want[i].ID)
			}
		}
		got := collect(t, set.SelectTraces(t.Context(), q))
		require.Equal(t, len(ids), len(got), name)
		for i, tr := range got {
			require.Equal(t, ids[i], tr.ID, name)
			require.Len(t, tr.Spans, groups, name)
		}
		require.LessOrEqual(t, store.opened, 8*groups, name)
	}
}
