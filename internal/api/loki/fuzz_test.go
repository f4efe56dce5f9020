package loki

import (
	"errors"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/logs/logql"
)

func newTestDecoder() *pushDecoder { return &pushDecoder{cache: newLabelCache()} }

func checkBatch(t *testing.T, d *pushDecoder) {
	for _, s := range d.batch.Streams {
		if len(s.Entries) == 0 {
			t.Fatal("a stream without entries")
		}
		if name, dup := s.Labels.HasDuplicateLabelNames(); dup {
			t.Fatalf("duplicate label %s", name)
		}
	}
}

// FuzzPushProto compares with the generated decoder: what that refuses we refuse, and what both
// accept has the same entries.
func FuzzPushProto(f *testing.F) {
	at := time.Unix(1, 2).UTC()
	f.Add(protoPush(f, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: at, Line: "x", StructuredMetadata: push.LabelsAdapter{{Name: "n", Value: "v"}}}}}))
	f.Add([]byte("\x0a\x03\x0a\x01x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newTestDecoder()
		err := d.proto(data)
		if err != nil {
			if fault.ClassOf(err) != fault.Invalid {
				t.Fatalf("class of %v", err)
			}
			return
		}
		checkBatch(t, d)
		var want push.PushRequest
		if want.Unmarshal(data) != nil || len(d.rejected) > 0 {
			return // stricter about field types that we skip
		}
		var got []logs.Entry
		for _, s := range d.batch.Streams {
			got = append(got, s.Entries...)
		}
		i := 0
		for _, s := range want.Streams {
			for _, e := range s.Entries {
				if i >= len(got) || got[i].Line != e.Line || got[i].Timestamp != e.Timestamp.UnixNano() || len(got[i].Metadata) != len(e.StructuredMetadata) {
					t.Fatalf("entry %d differs: %+v", i, e)
				}
				i++
			}
		}
		if i != len(got) {
			t.Fatalf("%d entries, want %d", len(got), i)
		}
	})
}

func FuzzPushJSON(f *testing.F) {
	for _, s := range []string{
		`{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"n":"v"}]]}]}`, `{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"1970-01-01T00:00:01Z","line":"x"}]}]}`,
		`{"x":[1,{"y":null}],"streams":[{"values":[["1","\u00e9\ud83d\ude80"]],"stream":{}}]}`, `{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newTestDecoder()
		if err := d.json(data); err != nil {
			if c := fault.ClassOf(err); c != fault.Invalid && c != fault.TooLarge {
				t.Fatalf("class of %v", err)
			}
			return
		}
		checkBatch(t, d)
	})
}

// FuzzLabels compares the fast parser with LogQL's: what it accepts as a selector of equalities has
// the same labels here.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{`{a="b", c="d\n\"é"}`, "{a=`b`}", `{}`, `{a="b",}`, `{ a = "" }`, `{a="b",a="c"}`, `{a.b="c"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ls, err := parseLabels(text)
		if err != nil {
			var at *labelError
			if errors.As(err, &at) && (at.col < 1 || at.col > len(text)+1) {
				t.Fatalf("%q: column %d", text, at.col)
			}
			return
		}
		ms, err := logql.ParseMatchers(text, true)
		if err != nil {
			return
		}
		want := map[string]string{}
		for _, m := range ms {
			if m.Type != labels.MatchEqual {
				t.Fatalf("%q has a matcher that is no label", text)
			}
			if m.Value != "" {
				want[m.Name] = validText(m.Value) // a stored label is UTF-8
			}
		}
		if got := labels.FromMap(want); !labels.Equal(got, ls) {
			t.Fatalf("%q is %s, LogQL reads %s", text, ls, got)
		}
	})
}

func BenchmarkPush(b *testing.B) {
	var s push.Stream
	s.Labels = `{app="api", cluster="eu-north", env="prod", namespace="shop"}`
	for i := range 1000 {
		s.Entries = append(s.Entries, push.Entry{Timestamp: time.Unix(int64(i), 0), Line: `level=info msg="routed request" method=GET path=/v1/cart/17 status=200 duration=63ms`,
			StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: "4bf92f3577b34da6a3ce929d0e0e4736"}}})
	}
	raw := protoPush(b, s)
	json := []byte(`{"streams":[{"stream":{"app":"api","env":"prod"},"values":[`)
	for i := range 1000 {
		if i > 0 {
			json = append(json, ',')
		}
		json = append(json, `["1768435200123004007","level=info msg=\"routed request\" method=GET path=/v1/cart/17 status=200 duration=63ms",{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}]`...)
	}
	json = append(json, `]}]}`...)
	cache := newLabelCache()
	for _, c := range []struct {
		name   string
		raw    []byte
		decode func(*pushDecoder, []byte) error
	}{{"proto", raw, (*pushDecoder).proto}, {"json", json, (*pushDecoder).json}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.raw)))
			for b.Loop() {
				d := pushDecoders.Get().(*pushDecoder)
				d.cache = cache
				if err := c.decode(d, c.raw); err != nil {
					b.Fatal(err)
				}
				d.put()
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkParseLabels(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseLabels(`{app="api", cluster="eu-north", env="prod", instance="api-0:8080", namespace="shop"}`); err != nil {
			b.Fatal(err)
		}
	}
}
