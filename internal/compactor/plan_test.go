package compactor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
)

const mib = 1 << 20

// planned makes a block for the planner: of raw bytes, with rows from oldest to newest.
func planned(n int, raw int64, oldest, newest time.Time) block.Meta {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(newest))
	id[15] = byte(n)
	return block.Meta{ULID: id, MinTime: oldest.UnixNano(), MaxTime: newest.UnixNano(), RawBytes: raw, Rows: 1}
}

// name is the number that planned was given.
func name(m block.Meta) string { return fmt.Sprint(m.ULID[15]) }

func TestPlan(t *testing.T) {
	// now is noon: yesterday is complete, today's windows before ten too.
	yesterday := now.Add(-day).Truncate(day)
	at := func(hour float64) time.Time { return yesterday.Add(time.Duration(hour * float64(time.Hour))) }
	one := func(n int, raw int64, hour float64) block.Meta {
		return planned(n, raw, at(hour), at(hour).Add(10*time.Minute))
	}
	many := func(first, count int, raw int64, hour float64) (out []block.Meta) {
		for i := range count {
			out = append(out, one(first+i, raw, hour+float64(i)/100))
		}
		return out
	}
	for _, c := range []struct {
		name   string
		blocks []block.Meta
		dirty  []int
		want   string // jobs, separated by |
	}{
		{"nothing", nil, nil, ""},
		{"a block alone", many(1, 1, mib, 1), nil, ""},
		{"a day that is over becomes one block", []block.Meta{one(1, mib, 1), one(2, 2*mib, 8), one(3, mib, 20)}, nil, "1 2 3"},
		{"older rows come first", []block.Meta{one(1, mib, 8), one(2, mib, 1)}, nil, "2 1"},
		{"days stay apart", []block.Meta{one(1, mib, -1), one(2, mib, -2), one(3, mib, 1), one(4, mib, 2)}, nil, "2 1|3 4"},
		{"windows of two hours of the current day", []block.Meta{one(1, mib, 24.5), one(2, mib, 25), one(3, mib, 26.5), one(4, mib, 27)}, nil, "1 2|3 4"},
		{"the window that fills up waits", many(1, openFan-1, mib, 35), nil, ""},
		{"unless it is full of small blocks", many(1, openFan, mib, 35), nil, "1 2 3 4 5 6 7 8"},
		{"a window is complete a while after its end", many(1, 2, mib, 33.8), nil, "1 2"},
		{"and not before", many(1, 2, mib, 34.5), nil, ""},
		{"large blocks are left alone", []block.Meta{one(1, targetRaw/2, 1), one(2, targetRaw, 2), one(3, mib, 3)}, nil, ""},
		{"no block grows beyond the target", []block.Meta{one(1, 200*mib, 1), one(2, 200*mib, 2), one(3, 200*mib, 3)}, nil, "1 2"},
		{"late lines don't write the day anew", []block.Meta{one(1, 200*mib, 1), one(2, mib, 3)}, nil, ""},
		{"many of them do", append(many(2, 60, mib, 3), one(1, 200*mib, 1)), nil, "1 " + numbers(2, 61)},
		{"small ones are merged beside a large one", []block.Meta{one(1, 200*mib, 1), one(2, mib, 3), one(3, mib, 4)}, nil, "2 3"},
		{"tiny is tiny", []block.Meta{one(1, 10, 1), one(2, mib, 3)}, nil, "1 2"},
		{"one job has so many inputs", many(1, maxInputs+10, mib, 1), nil, numbers(1, maxInputs) + "|" + numbers(maxInputs+1, maxInputs+10)},
		{"a backfill is merged with its like", []block.Meta{planned(1, mib, now.Add(-400*day), now.Add(-60*day)), planned(2, mib, now.Add(-300*day), now.Add(-60*day)), planned(3, mib, now.Add(-60*day), now.Add(-60*day))}, nil, "1 2"},
		{"all of time is a range", []block.Meta{planned(1, mib, time.Unix(0, -1<<63), time.Unix(0, 1<<63-1)), one(3, mib, 1)}, nil, ""},
		{"future rows", []block.Meta{planned(1, mib, now, time.Unix(0, 1<<63-1)), planned(2, mib, now, time.Unix(0, 1<<63-1))}, nil, ""},
		{"before 1970", []block.Meta{planned(1, mib, time.Unix(-10, 0), time.Unix(-5, 0)), planned(2, mib, time.Unix(5, 0), time.Unix(6, 0)), planned(3, mib, time.Unix(-9, 0), time.Unix(-8, 0))}, nil, "1 3"},
		{"lines that don't compress make smaller blocks", []block.Meta{stored(one(1, 200*mib, 1), 100*mib), stored(one(2, 200*mib, 2), 100*mib), stored(one(3, 100*mib, 3), 100*mib), stored(one(4, mib, 4), targetStored/2)}, nil, "1 3"},
		{"rows that must go, alone", []block.Meta{one(1, targetRaw, 1), one(2, targetRaw, 2)}, []int{2}, "2"},
		{"rows that must go, on the way", []block.Meta{one(1, mib, 1), one(2, mib, 2), one(3, targetRaw, 2)}, []int{2, 3}, "1 2|3"},
	} {
		dirty := map[ulid.ULID]bool{}
		for _, m := range c.blocks {
			dirty[m.ULID] = slices.Contains(c.dirty, int(m.ULID[15]))
		}
		var got []string
		for _, j := range plan(now, c.blocks, dirty) {
			var names []string
			for _, m := range j.inputs {
				names = append(names, name(m))
			}
			got = append(got, strings.Join(names, " "))
		}
		require.Equal(t, c.want, strings.Join(got, "|"), c.name)
	}
}

func stored(m block.Meta, n int64) block.Meta {
	m.StoredBytes = n
	return m
}

func numbers(from, to int) string {
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, " ")
}

// Plans end: whatever blocks there are, carrying out plan after plan comes to nothing left to do, and
// Blocks that weigh about the same are merged with their neighbours in time, not with those that weigh the most alike.
func TestPlanKeepsTimesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := now.Add(-2 * day).Truncate(day)
		var metas []block.Meta
		for i := range rapid.IntRange(2, 24).Draw(t, "blocks") {
			at := from.Add(time.Duration(i) * 10 * time.Minute)
			metas = append(metas, planned(i, rapid.Int64Range(64*mib, 127*mib).Draw(t, "raw"), at, at.Add(10*time.Minute)))
		}
		jobs := plan(now, metas, nil)
		require.NotEmpty(t, jobs)
		for _, j := range jobs {
			for i := 1; i < len(j.inputs); i++ {
				require.Equal(t, j.inputs[i-1].MaxTime, j.inputs[i].MinTime)
			}
		}
	})
}

// no job is larger than it may be.
func TestPlansEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var metas []block.Meta
		n := 0
		add := func(raw, oldest, newest int64) {
			n++
			m := block.Meta{MinTime: oldest, MaxTime: newest, RawBytes: raw, Rows: 1}
			_ = m.ULID.SetTime(uint64(n))
			metas = append(metas, m)
		}
		for range rapid.IntRange(0, 60).Draw(t, "blocks") {
			newest := now.Add(-time.Duration(rapid.Int64Range(-int64(day), int64(5*day)).Draw(t, "age")))
			span := rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, 30 * time.Hour, 100 * day}).Draw(t, "span")
			add(rapid.Int64Range(0, targetRaw).Draw(t, "raw")/rapid.SampledFrom([]int64{1, 100, 1 << 20}).Draw(t, "part"), newest.Add(-span).UnixNano(), newest.UnixNano())
		}
		for round := 0; ; round++ {
			require.Less(t, round, 100)
			jobs := plan(now, metas, nil)
			if len(jobs) == 0 {
				return
			}
			used := map[ulid.ULID]bool{}
			for _, j := range jobs {
				raw, oldest, newest := int64(0), j.inputs[0].MinTime, j.inputs[0].MaxTime
				require.GreaterOrEqual(t, len(j.inputs), 2)
				require.LessOrEqual(t, len(j.inputs), maxInputs)
				for _, m := range j.inputs {
					require.False(t, used[m.ULID], "a block in two jobs")
					used[m.ULID] = true
					raw, oldest, newest = raw+m.RawBytes, min(oldest, m.MinTime), max(newest, m.MaxTime)
				}
				require.LessOrEqual(t, raw, int64(targetRaw))
				add(raw, oldest, newest)
			}
			metas = slices.DeleteFunc(metas, func(m block.Meta) bool { return used[m.ULID] })
		}
	})
}

func TestOutputID(t *testing.T) {
	a, b := planned(1, 1, now, now.Add(time.Hour)), planned(2, 1, now, now)
	id := outputID([]block.Meta{a, b}, nil)
	require.Equal(t, a.ULID.Time(), id.Time(), "as old as the newest input")
	require.Equal(t, id, outputID([]block.Meta{b, a}, nil), "whatever the order")
	require.NotEqual(t, id, outputID([]block.Meta{a}, nil))
	require.NotEqual(t, id, outputID([]block.Meta{a, b}, []ulid.ULID{id}), "a name that was set aside is not used again")
}
