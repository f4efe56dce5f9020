package column

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/page-v1.golden anew")

const golden = "testdata/page-v1.golden"

// input is what the golden page was made of. It must stay readable for ever: a change of the format gets
// a golden file of its own, and this one keeps passing, though the Encoder may write other pages then.
type input struct {
	lines   *block.Values
	strings []*block.Values
	present *block.Bitmap
	some    *block.Values // Sparse
	ints    []int64
	times   []int64 // of the lines
}

const goldenRows = 600

func goldenInput() input {
	mix := func(i int) uint64 { return uint64(i+1) * 0x9E3779B97F4A7C15 }
	in := input{present: block.NewBitmap(goldenRows), some: &block.Values{}, ints: []int64{5000, -70000, 1e18, 0}}
	midnight := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	for i := range goldenRows {
		in.times = append(in.times, midnight.UnixNano()+int64(23*3600+i)*1e9+123e6+int64(mix(i)%1e6))
	}
	in.lines = valuesOf(repeated(goldenRows, func(i int) string {
		switch {
		case i == 5:
			return "a line that is alone: it goes to template 0"
		case i == 11:
			return "(another)"
		}
		switch i % 6 {
		case 0:
			return fmt.Sprintf(`{"level":"info","id":%d,"n":{"x":"%03d","e":{}},"list":[1,%d]}`, mix(i)>>24, i, i%3)
		case 1:
			return fmt.Sprintf(`level=info at=%d took=%d.%02d msg="a %d"`, in.times[i]/1e3-int64(mix(i)>>40%300), i*7, i%100, i%9) + []string{"", " user=u7"}[i/6%2]
		case 2:
			return fmt.Sprintf("2024-02-29T23:%02d:%02d.123Z from 10.0.%d.%d to blk_%d", i/60, i%60, i%3, i%256, int64(mix(i)))
		case 3:
			return fmt.Sprintf("23:%02d:%02d,%03d id %013x", i/60, i%60, i, mix(i)>>12)
		case 4:
			return fmt.Sprintf("%08X-%d %08x-%04x-4000-8000-%012x", uint32(mix(i)), i%2, uint32(mix(i)), i, mix(i)>>16)
		}
		return string(appendHex(nil, []byte{0x11, byte(i)}, &HexFormat{Digits: i%3 + 2})) + "\x11\xff" + fmt.Sprint(mix(i)%50)
	})...)
	in.strings = []*block.Values{
		valuesOf(repeated(goldenRows, func(int) string { return "always" })...),
		valuesOf(repeated(goldenRows*2, func(i int) string { return fmt.Sprintf("entry %c %d", 'a'+i%7, mix(i)%700) })...),
		valuesOf("short", "", "of varied length"),
		valuesOf(repeated(20, func(i int) string {
			b := make([]byte, 30+i%3)
			for k := range b {
				b[k] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[mix(i*100+k)>>40%62]
			}
			return string(b)
		})...),
		{},
		valuesOf(repeated(300, func(i int) string {
			return string(appendInt(nil, &IntFormat{Scale: 3, Trimmed: true}, int64(mix(i)%1e7)-1e6))
		})...),
	}
	for i := 0; i < goldenRows; i += 3 {
		in.present.Set(i)
		in.some.AppendString(fmt.Sprintf("pod-%d", i%40))
	}
	return in
}

func encodeGolden(e *Encoder, in input) *Encoded {
	e.Ints(in.times, Spine)
	e.Lines(in.lines)
	for _, v := range in.strings {
		e.Strings(v)
	}
	e.Sparse(in.present, in.some)
	e.Ints(in.ints, Spine)
	return e.Finish()
}

// columns returns the values of the columns of the golden page, in order.
func (in input) columns() []*block.Values {
	want := append([]*block.Values{decimals(in.times), in.lines}, in.strings...)
	sparse := &block.Values{}
	for row, i := 0, 0; row < goldenRows; row++ {
		if !in.present.Get(row) {
			sparse.AppendString("")
			continue
		}
		sparse.Append(in.some.At(i))
		i++
	}
	return append(want, sparse, decimals(in.ints))
}

func decimals(ints []int64) *block.Values {
	v := &block.Values{}
	for _, x := range ints {
		v.AppendString(fmt.Sprint(x))
	}
	return v
}

// appendEncoded appends a page as the golden file has it: its directory, alone and with shapes, the shapes, then its
// stored blobs, each with its length.
func appendEncoded(dst []byte, enc *Encoded) []byte {
	var shapes Shapes
	dst = block.AppendPrefixed(dst, AppendPage(nil, enc.Page))
	dst = block.AppendPrefixed(dst, shapes.AppendPage(nil, enc.Page))
	dst = block.AppendPrefixed(dst, shapes.AppendTo(nil))
	for _, b := range enc.Blobs {
		dst = block.AppendPrefixed(dst, b)
	}
	return dst
}

func decodeEncoded(t *testing.T, data []byte) *Reader {
	d := block.NewDecoder(data)
	alone := d.Prefixed()
	_, err := DecodePage(block.NewDecoder(alone))
	require.NoError(t, err)
	directory := d.Prefixed()
	shapes, err := DecodeShapes(block.NewDecoder(d.Prefixed()))
	require.NoError(t, err)
	p, err := shapes.DecodePage(directory)
	require.NoError(t, err)
	require.NoError(t, p.Load())
	require.Equal(t, alone, AppendPage(nil, p))
	r := NewReader(p)
	for i, b := range p.Blobs {
		content, err := block.Unpack(d.Prefixed(), block.Ref{StoredLen: uint32(b.StoredLen), RawLen: uint32(b.RawLen), Codec: b.Codec})
		require.NoError(t, err)
		r.Supply(i, content)
	}
	require.NoError(t, d.Finish())
	return r
}

func TestGolden(t *testing.T) {
	in := goldenInput()
	written := appendEncoded(nil, encodeGolden(NewEncoder(block.Fast), in))
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o777))
		require.NoError(t, os.WriteFile(golden, written, 0o666))
	}
	stored, err := os.ReadFile(golden)
	require.NoError(t, err)
	for _, data := range [][]byte{stored, written} {
		r := decodeEncoded(t, data)
		want := in.columns()
		require.Len(t, r.page.Columns, len(want))
		for i, c := range r.page.Columns {
			var got block.Values
			r.Values(&got, c, All)
			require.NoError(t, r.Err())
			require.Empty(t, firstDifference(want[i], &got), "column %d", i)
		}
		require.Equal(t, in.ints, r.Int64s(r.page.Columns[len(want)-1]))
		require.Equal(t, in.present, r.Present(r.page.Columns[len(want)-2]).Bits())
		seen := map[string]bool{}
		for _, c := range r.page.Columns {
			c.describe(seen)
		}
		for _, form := range []string{"const", "decimal", "width", "scale", "trimmed", "ipv4", "time", "date", "hex", "odd hex", "upper hex", "uuid", "dict", "recency",
			"raw", "lengths", "terminated", "sparse", "text", "shared", "generic", "json", "logfmt", "filtered", "whole", "clock", "steady clock", "zeros"} {
			require.True(t, seen[form], "the golden page has no %s column", form)
		}
	}
}

// describe notes the forms of c and the columns within.
func (c *Column) describe(seen map[string]bool) {
	if c == nil {
		return
	}
	note := func(name string, is bool) { seen[name] = seen[name] || is }
	note("const", c.Kind == Const)
	note("decimal", c.Kind == Int && c.Int == IntFormat{})
	note("width", c.Int.Width > 0)
	note("scale", c.Kind == Int && c.Int.Form == Decimal && c.Int.Scale > 0 && !c.Int.Trimmed)
	note("trimmed", c.Int.Trimmed)
	note("ipv4", c.Int.Form == IPv4)
	note("time", c.Int.Form == TimeOfDay)
	note("date", c.Int.Form == DateTime)
	note("clock", c.Clock != nil && !c.Clock.Steady)
	note("steady clock", c.Clock != nil && c.Clock.Steady)
	note("zeros", c.Zeros > 0)
	note("hex", c.Kind == Hex)
	note("odd hex", c.Hex.Digits%2 == 1)
	note("upper hex", c.Hex.Upper)
	note("uuid", c.Hex.UUID)
	note("dict", c.Kind == Dict && !c.Recency)
	note("recency", c.Recency)
	note("raw", c.Kind == Raw && !c.Terminated)
	note("lengths", c.Lengths != nil)
	note("terminated", c.Terminated)
	note("sparse", c.Kind == Sparse)
	note("text", c.Kind == Text)
	note("shared", c.sharedCount() > 0)
	note("filtered", c.Filtered)
	c.Values.describe(seen)
	for k := range c.Templates {
		t := &c.Templates[k]
		note("whole", t.Mode == Whole && t.Rows > 0)
		note("generic", t.Mode == Generic)
		note("json", t.Mode == JSON)
		note("logfmt", t.Mode == Logfmt)
		for i := range t.Slots {
			t.Slots[i].Values().describe(seen)
		}
	}
}
