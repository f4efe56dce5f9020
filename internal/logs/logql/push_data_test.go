package logql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/signal"
)

// object is the data file of a block, in memory.
type object struct {
	data []byte
	err  *error // of reads; nil: there is none
}

func (o object) ReadRange(_ context.Context, _ string, off, n int64) ([]byte, error) {
	if o.err != nil && *o.err != nil {
		return nil, *o.err
	}
	return o.data[off : off+n], nil
}

// fill makes a head of rows, in batches so that their order of arrival is kept.
func fill(o logs.HeadOptions, rows []row) *logs.Head {
	h := logs.NewHead(o)
	for i := range rows {
		r := &rows[i]
		h.Append(&logs.Batch{Streams: []logs.Stream{{Labels: r.labels, Entries: []logs.Entry{{Timestamp: r.ts, Line: r.line, Metadata: r.metadata}}}}})
	}
	return h
}

type fataler interface {
	Fatal(args ...any)
}

// blockOf writes a block of a head and opens it.
func blockOf(t fataler, dir string, h *logs.Head) logs.Part { return failingBlock(t, dir, h, nil) }

// failingBlock is a block whose reads fail once *fails is set.
func failingBlock(t fataler, dir string, h *logs.Head, fails *error) logs.Part {
	ctx := context.Background()
	meta := &block.Meta{ULID: ulid.Make(), Tenant: "t", Signal: signal.Logs, Producer: "test", Created: time.Unix(1, 0).UTC()}
	if err := h.WriteBlock(ctx, dir, meta); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, block.DataFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := block.Open(ctx, object{data, fails}, "test", int64(len(data)), block.ReaderOptions{SuffixLen: 64})
	if err != nil {
		t.Fatal(err)
	}
	b, err := logs.OpenBlock(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sourceOf(parts ...logs.Part) logs.Source {
	return logs.NewSource(func(context.Context, string, int64, int64) ([]logs.Part, error) { return parts, nil })
}

// partsOf puts rows into parts of a form: recent rows, sealed ones, a block, or several that overlap and have
// rows twice.
func partsOf(t *rapid.T, dir string, rows []row) []logs.Part {
	o := logs.HeadOptions{Block: logs.BlockOptions{PageRows: rapid.SampledFrom([]int{7, 40, 1000}).Draw(t, "page rows")}}
	sealed := func(rows []row) logs.Part {
		h := fill(o, rows)
		if err := h.Seal(context.Background()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	half := max(len(rows)/2, 1)
	switch rapid.SampledFrom([]string{"recent", "sealed", "sealed", "block", "mixed", "again"}).Draw(t, "form") {
	case "recent":
		return []logs.Part{fill(o, rows)}
	case "sealed":
		o.SealBytes = int64(rapid.SampledFrom([]int{200, 3000, 1 << 20}).Draw(t, "seal bytes"))
		return []logs.Part{sealed(rows)}
	case "block":
		return []logs.Part{blockOf(t, dir, fill(o, rows))}
	case "mixed":
		return []logs.Part{blockOf(t, dir, fill(o, rows[:half])), sealed(rows[half:])}
	}
	return []logs.Part{blockOf(t, dir, fill(o, rows)), sealed(rows[half/2:])}
}

// Values that parsers and conversions trip over. In JSON they stand bare or in quotes.
var (
	hardNumbers = []string{"0", "7", "200", "404", "503", "503", "12.5", "0.50", "-3", "-0", "1e3", "1E-2", "9007199254740993", "123456789012345678901234567890", "0.1"}
	hardBare    = []string{"true", "false", "null", "[1,\"x\"]", "[]", `["a\n"]`, "{}", `{"b":5}`, `{"b":{"c":"x"}}`}
	hardText    = []string{"", "error", "info", "x", "y z", "200", "503", "1e3", "NaN", "Inf", "12ms", "1.5s", "90m", "3KB", "1.2MiB", "10.0.0.7", "::1", "true", "null",
		"é", "\xff", "a\xffb", "�", `\n`, `\u0041`, `\ud800`, `say \"hi\"`, `\\`, `007`, "deadbeefdeadbeef", "k=v"}
	hardKeys = []string{"a", "b", "status", "lat", "level", "app", "pod", "a_b", "a.b", " a ", "9k", "é", "", `\u0061`, "a_extracted", "level_extracted", "__error__", "trace", "msg"}
)

// dice draws data. It is seeded: drawing each value by rapid would be slow, and the rows are printed where a
// test fails.
type dice struct{ *rand.Rand }

func (d dice) of(from []string) string { return from[d.IntN(len(from))] }

// few returns two or three of from, so that a column has few distinct values.
func (d dice) few(from []string) []string { return []string{d.of(from), d.of(from), d.of(from)} }

// lineShape makes lines that differ in their values only.
type lineShape func() string

func (d dice) json(depth int) lineShape {
	type member struct {
		key    string
		quoted bool
		from   []string
		inner  lineShape
	}
	members := make([]member, 1+d.IntN(5))
	for i := range members {
		m := member{key: d.of(hardKeys)}
		switch n := d.IntN(12); {
		case n == 0 && depth < 3:
			m.inner = d.json(depth + 1)
		case n <= 4:
			m.from = hardNumbers[:1+d.IntN(len(hardNumbers))]
		case n == 5:
			m.from = slices.Concat(hardNumbers, hardBare)
		case n == 6:
			m.from = []string{"null", "7", "[1]", `["\u0041"]`, "true"}
		default:
			m.quoted, m.from = true, hardText
		}
		if d.IntN(3) == 0 && m.inner == nil {
			m.from = d.few(m.from)
		}
		members[i] = m
	}
	space := d.of([]string{"", "", " "})
	return func() string {
		parts := make([]string, len(members))
		for i, m := range members {
			value := ""
			switch {
			case m.inner != nil:
				value = m.inner()
			case m.quoted:
				value = `"` + d.of(m.from) + `"`
			default:
				value = d.of(m.from)
			}
			parts[i] = `"` + m.key + `":` + space + value
		}
		return "{" + strings.Join(parts, ","+space) + "}"
	}
}

func (d dice) logfmt() lineShape {
	type pair struct {
		key  string
		form int
		from []string
	}
	pairs := make([]pair, 2+d.IntN(4))
	for i := range pairs {
		p := pair{key: strings.TrimSpace(d.of(hardKeys)), form: d.IntN(8), from: hardText}
		if p.key == "" && d.IntN(3) > 0 {
			p.key = "lat"
		}
		if d.IntN(2) == 0 {
			p.from = hardNumbers
		}
		if d.IntN(3) == 0 {
			p.from = d.few(p.from)
		}
		pairs[i] = p
	}
	return func() string {
		parts := make([]string, len(pairs))
		for i, p := range pairs {
			switch v := d.of(p.from); p.form {
			case 0:
				parts[i] = p.key
			case 1:
				parts[i] = p.key + "="
			case 2, 3, 4:
				parts[i] = p.key + `="` + v + `"`
			default:
				parts[i] = p.key + "=" + strings.ReplaceAll(v, " ", "_")
			}
		}
		return strings.Join(parts, " ")
	}
}

// service makes lines as services do: one template, a number with a fraction of any length.
func (d dice) service() lineShape {
	lengths := 1 + d.IntN(6)
	return func() string {
		return fmt.Sprintf(`{"level":"%s","status":%s,"lat":%d.%0*d,"msg":"m %d"}`, d.of([]string{"info", "error"}), d.of([]string{"200", "503", "404"}),
			d.IntN(1000), 1+d.IntN(lengths), d.IntN(10), d.IntN(1e6))
	}
}

func (d dice) text() lineShape {
	words := d.of([]string{"GET /a/b took", "error from", "a=1", "{ x"})
	return func() string { return words + " " + d.of(hardText) + " in " + d.of(hardNumbers) + "ms" }
}

func (d dice) broken() lineShape {
	whole := d.json(0)
	return func() string {
		line := whole()
		return line[:d.IntN(len(line)+1)]
	}
}

var hardStreams = []labels.Labels{
	labels.FromStrings("app", "a"),
	labels.FromStrings("app", "a", "level", "info"),
	labels.FromStrings("app", "a", "a", "1", "pod", "p"),
	labels.FromStrings("app", "a", "a", "1", "a_extracted", "2"),
	labels.FromStrings("app", "b", "status", "503"),
	labels.FromStrings("app", "b", "lat", "x"),
	labels.FromStrings("app", "b", "lat", "15ms"),
}

func (d dice) metadata(keys []string) []logs.Label {
	var out []logs.Label
	for _, key := range keys {
		if d.IntN(3) > 0 {
			out = append(out, logs.Label{Name: key, Value: d.of([]string{"1", "error", "x", "503", "12ms", fmt.Sprint(d.IntN(1000))})})
		}
	}
	return out
}

// rows draws rows of a few shapes, each of which may be common enough for a template. With distinct, no two
// have the same time.
func (d dice) rows(distinct bool) []row {
	shapes := make([]lineShape, 1+d.IntN(4))
	for i := range shapes {
		switch n := d.IntN(12); {
		case n == 0:
			shapes[i] = d.text()
		case n == 1:
			shapes[i] = d.broken()
		case n <= 5:
			shapes[i] = d.logfmt()
		case n == 6:
			shapes[i] = d.service()
		default:
			shapes[i] = d.json(0)
		}
	}
	streams := make([]labels.Labels, 1+d.IntN(3))
	for i := range streams {
		streams[i] = hardStreams[d.IntN(len(hardStreams))]
	}
	var keys []string
	if d.IntN(2) == 0 {
		keys = [][]string{{"level"}, {"a", "lat", "level", "trace"}, {"trace"}, {"a"}, {"a", "a_extracted"}}[d.IntN(5)]
	}
	rows := make([]row, 1+d.IntN([]int{20, 300, 1500}[d.IntN(3)]))
	gap := []int64{1e6, 1e9, 7e9}[d.IntN(3)]
	ts := int64(0)
	for i := range rows {
		ts += d.Int64N(3) * gap
		if distinct {
			ts++
		}
		rows[i] = row{labels: streams[d.IntN(len(streams))], ts: ts, line: shapes[d.IntN(len(shapes))](), metadata: d.metadata(keys)}
	}
	return rows
}
