package column

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

// TestKinds says what becomes of values.
func TestKinds(t *testing.T) {
	f := func(kind Kind, list []string) *Column {
		t.Helper()
		e := NewEncoder(block.Fast)
		c := e.Strings(valuesOf(list...))
		require.Equal(t, kind, c.Kind)
		e.Finish()
		roundTrip(t, e, valuesOf(list...))
		return c
	}
	n := 2000
	f(Const, repeated(n, func(int) string { return "x" }))
	c := f(Int, repeated(n, func(i int) string { return fmt.Sprint(mix(i) % 1e9) }))
	require.Equal(t, IntFormat{}, c.Int)
	require.False(t, c.Filtered)
	require.True(t, f(Int, repeated(n, func(i int) string { return fmt.Sprint(mix(i) >> 2) })).Filtered)
	require.Equal(t, 6, f(Int, repeated(n, func(i int) string { return fmt.Sprintf("%06d", i*600) })).Int.Width)
	require.Equal(t, 3, f(Int, repeated(n, func(i int) string { return fmt.Sprintf("%d.%03d", i, mix(i)%1000) })).Int.Scale)
	require.Equal(t, IPv4, f(Int, repeated(n, func(i int) string { return fmt.Sprintf("10.%d.%d.1", i%256, mix(i)%256) })).Int.Form)
	c = f(Hex, repeated(n, func(i int) string { return fmt.Sprintf("%016x", mix(i)) }))
	require.True(t, c.Filtered)
	require.Equal(t, HexLower|Digits, c.Stamp.Chars)
	require.True(t, f(Hex, repeated(n, func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i, mix(i)>>16) })).Hex.UUID)
	require.False(t, f(Dict, repeated(n, func(i int) string { return fmt.Sprintf("word%c", 'a'+mix(i)%20) })).Recency)
	require.True(t, f(Dict, repeated(n, func(i int) string { return fmt.Sprintf("w%d q", uint64(i)/3+mix(i)%2) })).Recency)
	f(Text, repeated(n, func(i int) string { return fmt.Sprintf("/users/%d/items/%x", i, mix(i)) }))
	f(Raw, repeated(n, func(i int) string {
		b := make([]byte, 20+i%20)
		for k := range b {
			b[k] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[mix(i*100+k)%62]
		}
		return string(b)
	}))
}

// TestSharedKeys: a key of several templates is one column if its values are of one kind.
func TestSharedKeys(t *testing.T) {
	lines := repeated(3000, func(i int) string {
		user := fmt.Sprintf("user%d", i/2*7919%50)
		if i%2 == 0 {
			return fmt.Sprintf(`{"user":"%s","took":%d,"msg":"one"}`, user, i)
		}
		return fmt.Sprintf(`{"user":"%s","msg":"two"}`, user)
	})
	e := NewEncoder(block.Fast)
	c := e.Lines(valuesOf(lines...))
	require.Equal(t, Text, c.Kind)
	e.Finish()
	require.Len(t, c.Templates, 3)
	require.Len(t, c.Shared, 1)
	for k := 1; k < 3; k++ {
		require.Equal(t, JSON, c.Templates[k].Mode)
		require.Equal(t, 0, c.Templates[k].Slots[0].Shared)
		last := len(c.Templates[k].Slots) - 1
		require.Equal(t, Const, c.Templates[k].Slots[last].Values().Kind, "a message of its own stays out of it")
	}
	roundTrip(t, e, valuesOf(lines...))
}

// TestRawIsLearned: random text is tried once, and again after probeEvery pages.
func TestRawIsLearned(t *testing.T) {
	random := valuesOf(repeated(800, func(i int) string {
		b := make([]byte, 60+i%20)
		for k := range b {
			b[k] = byte(mix(i*100 + k))
		}
		return string(b)
	})...)
	structured := valuesOf(repeated(800, func(i int) string { return fmt.Sprintf("took %d ms", i) })...)
	e := NewEncoder(block.Fast)
	e.load(random)
	kind := e.kindOf(e.top)
	require.False(t, e.rawWins(kind))
	require.Equal(t, Raw, e.Lines(random).Kind)
	for range probeEvery - 1 {
		require.True(t, e.rawWins(kind))
	}
	require.False(t, e.rawWins(kind))
	require.Equal(t, Text, e.Lines(structured).Kind)
	require.Equal(t, Raw, e.Lines(random).Kind)
	e.Finish()
	roundTrip(t, e, random)
}

// TestClasses: the numbers of templates and the timestamps are the spine, in blobs of their own, small
// payloads are pooled, large ones are bulk, but those of dictionary entries.
func TestClasses(t *testing.T) {
	v := valuesOf(repeated(20000, func(i int) string {
		if i%3 == 0 {
			return fmt.Sprintf("took %d ms for %d", mix(i)>>40, i%5)
		}
		if i%3 == 1 {
			return fmt.Sprintf("host=%s", strings.Repeat("xyz"[i%2:], 1+int(mix(i)%300)))
		}
		return fmt.Sprintf("user %s", strings.Repeat("abcdefghijklmnopqrstuvwxyz"[i%26:i%26+1], i%400))
	})...)
	e := NewEncoder(block.Fast)
	c := e.Lines(v)
	ts := e.Ints([]int64{1, 2, 3}, Spine)
	enc := e.Finish()
	class := func(c *Column) Class { return enc.Page.Blobs[c.Payload.Blob].Class }
	require.Equal(t, Spine, class(c.IDs))
	require.Equal(t, Spine, class(ts))
	require.NotEqual(t, c.IDs.Payload.Blob, ts.Payload.Blob)
	seen := map[Class]bool{}
	var walk func(c *Column, entries bool)
	walk = func(c *Column, entries bool) {
		if c == nil {
			return
		}
		if c.Payload.Len > 0 {
			seen[class(c)] = true
			if entries || c.Payload.Len < pooledBelow {
				require.Equal(t, Strings, class(c))
			} else {
				require.Equal(t, Bulk, class(c))
			}
		}
		walk(c.Values, entries || c.Kind == Dict)
		walk(c.Lengths, entries)
		for k := range c.Templates {
			for _, s := range c.Templates[k].Slots {
				walk(s.Values(), entries)
			}
		}
	}
	walk(c, false)
	require.Equal(t, map[Class]bool{Strings: true, Bulk: true}, seen)
}

// TestFilteredValues: the filter has every value of a column that claims so.
func TestFilteredValues(t *testing.T) {
	v := valuesOf(repeated(3000, func(i int) string { return fmt.Sprintf("%016x", mix(i)) })...)
	e := NewEncoder(block.Fast)
	e.Strings(v)
	enc := e.Finish()
	r := reopen(t, enc.Page, unpack(t, enc))
	require.Positive(t, enc.Page.Filter.Blobs)
	for i := range v.Len() {
		maybe, known := r.mayHold(v.At(i))
		require.True(t, maybe && known)
	}
}

func TestSparseRoundTrip(t *testing.T) {
	for _, every := range []int{1, 2, 50, 2000} {
		present, v, want := block.NewBitmap(1000), &block.Values{}, &block.Values{}
		for i := range 1000 {
			if (i+1)%every != 0 {
				want.AppendString("")
				continue
			}
			present.Set(i)
			v.AppendString(fmt.Sprint("v", i%17))
			want.AppendString(fmt.Sprint("v", i%17))
		}
		e := NewEncoder(block.Fast)
		e.Sparse(present, v)
		enc := e.Finish()
		r := reopen(t, enc.Page, unpack(t, enc))
		c := r.page.Columns[0]
		require.Equal(t, every > 1, c.Kind == Sparse)
		var got block.Values
		r.Values(&got, c, All)
		require.NoError(t, r.Err())
		require.Empty(t, firstDifference(want, &got))
		some := block.NewBitmap(1000)
		some.Set(3)
		some.Set(49)
		got.Reset()
		r.Values(&got, c, SetOf(some))
		require.Equal(t, []string{string(want.At(3)), string(want.At(49))}, listOf(&got))
		require.Equal(t, string(want.At(49)), string(r.Append(nil, c, 49)))
	}
}

// TestRowsDoNotAllocate: what a page costs in allocations doesn't grow with its rows.
func TestRowsDoNotAllocate(t *testing.T) {
	lines := func(n int) *block.Values {
		return valuesOf(repeated(n, func(i int) string {
			return fmt.Sprintf("request %d took %d.%02d ms from 10.0.0.%d", i, i%90, i%100, i%250)
		})...)
	}
	few, many := lines(2000), lines(40000)
	e := NewEncoder(block.Fast)
	allocs := func(v *block.Values) float64 {
		return testing.AllocsPerRun(2, func() {
			e.Lines(v)
			enc := e.Finish()
			r := NewReader(enc.Page)
			for i, b := range unpack(t, enc) {
				r.Supply(i, b)
			}
			var got block.Values
			r.Values(&got, enc.Page.Columns[0], All)
		})
	}
	allocs(many)
	require.Less(t, allocs(many), allocs(few)+400)
}

// TestSparseInSpine: all that such a column takes is in blobs of the spine that no other column uses.
func TestSparseInSpine(t *testing.T) {
	present := block.NewBitmap(30000)
	v, more := &block.Values{}, valuesOf(repeated(30000, func(i int) string { return fmt.Sprintf("u%d", i*i%97) })...)
	for i := range 30000 {
		if i%7 != 0 {
			present.Set(i)
			v.AppendString([]string{"info", "error", "warn"}[i*i%11%3])
		}
	}
	e := NewEncoder(block.Fast)
	e.Strings(more)
	c := e.SparseInSpine(present, v)
	e.Strings(more)
	enc := e.Finish()
	require.Equal(t, Dict, c.Values.Kind)
	own := map[int]bool{}
	for _, p := range []Payload{c.Payload, c.Values.Payload, c.Values.Values.Payload} {
		require.Equal(t, Spine, enc.Page.Blobs[p.Blob].Class)
		own[p.Blob] = true
	}
	eachColumn(enc.Page, func(x *Column) {
		if x != c && x != c.Values && x != c.Values.Values && x.Payload.Len > 0 {
			require.False(t, own[x.Payload.Blob])
		}
	})
	r := reopen(t, enc.Page, unpack(t, enc))
	var got block.Values
	r.Values(&got, r.page.Columns[1].Values, All)
	require.Equal(t, listOf(v), listOf(&got))
}
