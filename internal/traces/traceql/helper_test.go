package traceql

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hune-io/hune/internal/traces"
)

// epoch is time zero of the traces in testdata.
const epoch = uint64(1_700_000_000_000_000_000)

// memory is a source over traces in memory that ignores conditions: what the engine makes of them
// is the truth that sources with conditions are compared with.
type memory struct{ list []*traces.Trace }

func (m *memory) TraceByID(_ context.Context, _ string, id traces.ID, _, _ uint64) (*traces.Trace, error) {
	for _, t := range m.list {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, nil
}

func (m *memory) SelectTraces(context.Context, string, traces.Select) iter.Seq2[*traces.Trace, error] {
	list := append([]*traces.Trace(nil), m.list...)
	sort.SliceStable(list, func(i, j int) bool {
		a, _ := list[i].Bounds()
		b, _ := list[j].Bounds()
		return a > b
	})
	return func(yield func(*traces.Trace, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

func (m *memory) Tags(context.Context, string, traces.TagScope, uint64, uint64) (map[traces.TagScope][]string, error) {
	return nil, fmt.Errorf("not asked in these tests")
}

func (m *memory) TagValues(context.Context, string, traces.TagScope, string, uint64, uint64, int) ([]traces.Attribute, error) {
	return nil, fmt.Errorf("not asked in these tests")
}

// loadTraces reads spans, one a line:
//
//	TRACE DEPTH SERVICE NAME START+DURATION FIELD…
//
// DEPTH is a run of dots: the parent is the last span with one dot less. Fields: kind:K status:S
// message:M id:N (a number; default the line's) orphan (parent is unknown) key=value (span)
// r:key=value s:key=value (resource, scope) e:NAME@TIME (an event) e:key=value (of the last event)
// l:TRACE (a link) l:key=value.
func loadTraces(t testing.TB, text string) *memory {
	m := &memory{}
	byName := map[string]*traces.Trace{}
	stack := map[string][]traces.SpanID{}
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		if len(f) < 5 {
			t.Fatalf("line %d: %q", n+1, line)
		}
		tr := byName[f[0]]
		if tr == nil {
			tr = &traces.Trace{ID: traceID(f[0])}
			byName[f[0]] = tr
			m.list = append(m.list, tr)
		}
		start, length, _ := strings.Cut(f[4], "+")
		s := &traces.Span{
			Order: uint32(len(tr.Spans)), ID: spanID(n + 1), Name: f[3], Start: epoch + uint64(mustDuration(t, start)),
			Resource: &traces.Resource{ServiceName: f[2]}, Scope: &traces.Scope{},
		}
		if f[2] == "-" {
			s.Resource.ServiceName = ""
		} else {
			s.Resource.Attributes = append(s.Resource.Attributes, traces.Attribute{Key: "service.name", Str: f[2]})
		}
		s.End = s.Start + uint64(mustDuration(t, length))
		depth := len(f[1])
		parents := stack[f[0]]
		if depth > 1 {
			s.ParentID = parents[depth-2]
		}
		for _, field := range f[5:] {
			setField(t, s, field)
		}
		stack[f[0]] = append(parents[:depth-1], s.ID)
		tr.Spans = append(tr.Spans, s)
	}
	return m
}

func traceID(name string) (id traces.ID) {
	copy(id[16-len(name):], name)
	return id
}

func spanID(n int) (id traces.SpanID) {
	id[6], id[7] = byte(n>>8), byte(n)
	return id
}

func mustDuration(t testing.TB, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func setField(t testing.TB, s *traces.Span, field string) {
	lists := map[string]*[]traces.Attribute{"r": &s.Resource.Attributes, "s": &s.Scope.Attributes}
	if n := len(s.Events); n > 0 {
		lists["e"] = &s.Events[n-1].Attributes
	}
	if n := len(s.Links); n > 0 {
		lists["l"] = &s.Links[n-1].Attributes
	}
	word, rest, tagged := strings.Cut(field, ":")
	if tagged && !strings.Contains(word, "=") {
		key, value, isAttr := strings.Cut(rest, "=")
		switch {
		case isAttr && lists[word] != nil:
			*lists[word] = append(*lists[word], attributeOf(t, key, value))
		case word == "kind":
			s.Kind = traces.Kind(indexOf(kindNames, rest))
		case word == "status":
			s.Status = traces.Status(indexOf(statusNames, rest))
		case word == "message":
			s.StatusMessage = rest
		case word == "scope":
			s.Scope.Name = rest
		case word == "id":
			n, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			s.ID = spanID(n)
		case word == "e":
			name, at, _ := strings.Cut(rest, "@")
			s.Events = append(s.Events, traces.Event{Name: name, Time: s.Start + uint64(mustDuration(t, at))})
		case word == "l":
			s.Links = append(s.Links, traces.Link{TraceID: traceID(rest), SpanID: spanID(1)})
		default:
			t.Fatalf("field %q", field)
		}
		return
	}
	if field == "orphan" {
		s.ParentID = spanID(0xffff)
		return
	}
	key, value, ok := strings.Cut(field, "=")
	if !ok {
		t.Fatalf("field %q", field)
	}
	s.Attributes = append(s.Attributes, attributeOf(t, key, value))
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return 0
}

// attributeOf reads true, 1, 1.5, [a,b] and plain text.
func attributeOf(t testing.TB, key, v string) traces.Attribute {
	a := traces.Attribute{Key: key}
	if strings.HasPrefix(v, "[") {
		for _, e := range strings.Split(strings.Trim(v, "[]"), ",") {
			a.Array = append(a.Array, attributeOf(t, "", e))
		}
		a.Type = map[traces.ValueType]traces.ValueType{
			traces.TypeString: traces.TypeStringArray, traces.TypeInt: traces.TypeIntArray,
			traces.TypeFloat: traces.TypeFloatArray, traces.TypeBool: traces.TypeBoolArray,
		}[a.Array[0].Type]
		return a
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		a.Type, a.Int = traces.TypeInt, n
	} else if f, err := strconv.ParseFloat(v, 64); err == nil {
		a.Type, a.Float = traces.TypeFloat, f
	} else if v == "true" || v == "false" {
		a.Type = traces.TypeBool
		if v == "true" {
			a.Int = 1
		}
	} else if v == "opaque" {
		a.Type, a.Raw = traces.TypeOpaque, []byte{0x2a, 0}
	} else {
		a.Str = v
	}
	return a
}

// printFound prints a search answer: per span set "trace: span{attribute=value} … | set attributes".
func printFound(found []traces.FoundTrace) string {
	var b strings.Builder
	for _, f := range found {
		for _, set := range f.SpanSets {
			fmt.Fprintf(&b, "%s:", strings.TrimLeft(string(f.ID[:]), "\x00"))
			for _, s := range set.Spans {
				fmt.Fprintf(&b, " %d", int(s.ID[6])<<8|int(s.ID[7]))
				printAttributes(&b, s.Attributes)
			}
			if int(set.Matched) != len(set.Spans) {
				fmt.Fprintf(&b, " of %d", set.Matched)
			}
			if len(set.Attributes) > 0 {
				b.WriteString(" |")
				printAttributes(&b, set.Attributes)
			}
			b.WriteString("\n")
		}
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func printAttributes(b *strings.Builder, attrs []traces.Attribute) {
	if len(attrs) == 0 {
		return
	}
	parts := make([]string, len(attrs))
	for i := range attrs {
		parts[i] = attrs[i].Key + "=" + fromAttribute(&attrs[i]).String()
	}
	sort.Strings(parts)
	b.WriteString("{" + strings.Join(parts, " ") + "}")
}

func printSeries(series []traces.SampleSeries) string {
	var b strings.Builder
	for _, s := range series {
		b.WriteString(LabelText(s.Labels))
		for _, p := range s.Samples {
			at := time.Duration(p.T)*time.Millisecond - time.Duration(epoch)
			fmt.Fprintf(&b, " %s=%s", at, strconv.FormatFloat(p.V, 'g', 6, 64))
		}
		b.WriteString("\n")
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}
