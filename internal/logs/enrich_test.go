package logs

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLineLevel(t *testing.T) {
	e := NewEnricher(DefaultEnrichOptions())
	f := func(line, want string) {
		t.Helper()
		require.Equal(t, want, e.Level(nil, line), "%q", line)
	}
	// JSON
	f(`{"level":"info","msg":"an error"}`, "info")
	f(`{"msg":"an error", "level" : "DEBUG"}`, "debug")
	f(`  {"Severity":"Warning"}`, "warn")
	f(`{"severity":"CRITICAL"}`, "critical")
	f(`{"severity":"error","level":"info"}`, "info")
	f(`{"lvl":"error","severity":"warn"}`, "warn")
	f(`{"level":"info","nested":{"level":"error"}}`, "info")
	f(`{"nested":{"level":"error"},"lvl":"info"}`, "info")
	f(`{"log":{"level":"trace"}}`, "trace")
	f(`{"a":{"b":{"level":"fatal"}}}`, "fatal") // too deep for a field, found as a word
	f(`{"a":{"b":{"level":"notice"}}}`, "unknown")
	f(`{"log.level":"wrn"}`, "warn")
	f(`{"a":["level","info"],"b":"{\"level\":\"error\""}`, "info")
	f(`{"level":30,"msg":"x"}`, "unknown")
	f(`{"level":null,"msg":"fatal"}`, "fatal")
	f(`{"level":"\"info\"","x":"y"}`, "info")
	f(`{"msg":"err while parsing","error":"E42"}`, "error")
	f(`{"level":"warn`, "warn")
	f(`{"x":1e999,"y":Inf} inf`, "unknown") // a number in running text
	f(`{"level":"infx`, "unknown")
	f(`{"trace_id":"shadow-trace"}`, "unknown")
	f(`{"level"`, "unknown")
	f(`{"a\\":"x","level":"error"}`, "error")
	f(strings.Repeat(`{"a":`, 100)+`{"level":"x"`, "unknown")
	// logfmt
	f(`ts=1 lvl=INF task=error`, "info")
	f(`msg="an error happened" level=debug`, "debug")
	f(`msg="level=error x" level="warn"`, "warn")
	f(`level=info level=error msg=twice`, "info")
	f(`severity=error level=info`, "info")
	f(`not json at all level=warn`, "warn")
	f(`level=`, "unknown")
	f(`level="`, "unknown")
	f(`=level=warn`, "warn")
	// words
	f(`INFO key=page:44 hit=yes`, "info")
	f(`2026-01-15 00:00:06,446 TRACE [pool-0] split`, "trace")
	f(`Warning: clock skew 666ms`, "warn")
	f(`MiXeD CaSe ERROR Message`, "error")
	f(`[ERROR] boom`, "error")
	f(`W0115 reflector.go:217] "Watch closed" err="too old: 293"`, "error")
	f("\x1b[31mERROR\x1b[0m inspect", "unknown")
	f(`error_count is 7, my_info`, "unknown")
	f(`Back-off restarting failed container`, "unknown")
	f(`GET /information HTTP/1.1`, "info")
	f(`terrors, informal, warnings`, "unknown")
	f(``, "unknown")
	f("\xff\xfe", "unknown")
}

func TestEnrichStream(t *testing.T) {
	e := NewEnricher(DefaultEnrichOptions())
	s := Stream{Labels: labels.FromStrings("container", "cache", "job", "x"), Entries: []Entry{
		{1, "INFO a", nil},
		{2, "error", []Label{{"http.method", "GET"}, {"9lives", "2"}, {"note", ""}, {"user-agent", "curl"}, {"ünï", "u"}}},
		{3, "x", []Label{{"level", "err"}, {"a.b", "1"}, {"a_b", "2"}, {"zz", "\xff"}}},
		{4, "x", []Label{{"level", "NOTICE"}}},
		{5, "x", []Label{{"detected_level", "mine"}}},
		{6, "error", []Label{{"severity_number", "9"}}},
		{7, "error", []Label{{"severity_number", "99"}}},
		{8, "error", []Label{{"log.level", "Fatal"}, {"", "x"}}},
	}}
	e.Stream(&s)
	require.Equal(t, `{container="cache", job="x", service_name="cache"}`, s.Labels.String())
	want := [][]Label{
		{{DetectedLevel, "info"}},
		{{"_n_", "u"}, {DetectedLevel, "error"}, {"http_method", "GET"}, {"key_9lives", "2"}, {"user_agent", "curl"}},
		{{"a_b", "2"}, {DetectedLevel, "error"}, {"level", "err"}, {"zz", "\uFFFD"}},
		{{DetectedLevel, "notice"}, {"level", "NOTICE"}},
		{{DetectedLevel, "mine"}},
		{{DetectedLevel, "info"}, {"severity_number", "9"}},
		{{DetectedLevel, "unknown"}, {"severity_number", "99"}},
		{{DetectedLevel, "fatal"}, {"log_level", "Fatal"}},
	}
	for i, w := range want {
		require.Equal(t, w, s.Entries[i].Metadata, "entry %d", i)
	}

	s = Stream{Labels: labels.FromStrings("host", "h", "level", "Warn"), Entries: []Entry{{1, "error", []Label{{"level", "info"}}}}}
	e.Stream(&s)
	require.Equal(t, UnknownService, s.Labels.Get(ServiceName))
	require.Equal(t, "warn", s.Entries[0].Metadata[0].Value)

	s = Stream{Labels: labels.FromStrings("app", "a", "service_name", "mine"), Entries: []Entry{{1, "error", nil}}}
	off := NewEnricher(EnrichOptions{})
	off.Stream(&s)
	require.Empty(t, s.Entries[0].Metadata)
	e.Stream(&s)
	require.Equal(t, "mine", s.Labels.Get(ServiceName))
}

func TestServiceNameOrder(t *testing.T) {
	e := NewEnricher(DefaultEnrichOptions())
	for i, name := range DefaultServiceNameLabels {
		pairs := []Label{{"env", "x"}}
		for _, later := range DefaultServiceNameLabels[i:] {
			pairs = append(pairs, Label{later, "from-" + later})
		}
		ls, err := NewLabels(pairs)
		require.NoError(t, err)
		require.Equal(t, "from-"+name, e.Labels(ls).Get(ServiceName))
	}
}

func TestValidateLabels(t *testing.T) {
	limits := LabelLimits{MaxNames: 2, MaxNameLength: 12, MaxValueLength: 4}
	f := func(wantReason string, pairs ...Label) {
		t.Helper()
		ls, err := NewLabels(pairs)
		require.NoError(t, err)
		reason, message := ValidateLabels(ls, limits)
		require.Equal(t, wantReason, reason)
		require.Equal(t, wantReason == "", message == "")
	}
	f("", Label{"a", "b"})
	f("", Label{"a", "b"}, Label{"b", "b"}, Label{ServiceName, "x"})
	f("", Label{"a", "b"}, Label{"b", ""}, Label{"c", "x"})
	f(ReasonMissingLabels)
	f(ReasonTooManyLabels, Label{"a", "b"}, Label{"b", "b"}, Label{"c", "x"})
	f(ReasonLabelNameTooLong, Label{strings.Repeat("n", 13), "b"})
	f(ReasonLabelValueTooBig, Label{"a", strings.Repeat("ü", 3)})
	f(ReasonInvalidLabels, Label{"a.b", "x"})
	f(ReasonInvalidLabels, Label{"9a", "x"})
	f(ReasonInvalidLabels, Label{"a", "\xff"})
	_, err := NewLabels([]Label{{"a", "1"}, {"a", "2"}})
	require.ErrorContains(t, err, `"a"`)
}

// Whatever comes in, metadata comes out as the contract of Entry says.
func TestNormalizeMetadataProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		md := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Label {
			return Label{rapid.StringMatching(`[a-c.ü9_]{0,3}`).Draw(t, "name"), string(rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value"))}
		}), 0, 8).Draw(t, "md")
		out := NormalizeMetadata(md)
		for i, l := range out {
			require.True(t, validName(l.Name), "%q", l.Name)
			require.NotEmpty(t, l.Value)
			if i > 0 {
				require.Less(t, out[i-1].Name, l.Name)
			}
		}
		require.Equal(t, out, NormalizeMetadata(out), "idempotent")
	})
}

func FuzzLevel(f *testing.F) {
	for _, s := range []string{`{"level":"info"}`, `a=b level="x\"" lvl=err`, `{"a":[{"level":"warn"}]}`, `{"a\`, "ERROR \xff"} {
		f.Add(s)
	}
	e := NewEnricher(DefaultEnrichOptions())
	known := map[string]bool{LevelUnknown: true, LevelTrace: true, LevelDebug: true, LevelInfo: true, LevelWarn: true, LevelError: true, LevelCritical: true, LevelFatal: true}
	f.Fuzz(func(t *testing.T, line string) {
		level := e.Level(nil, line)
		if !known[level] {
			t.Fatalf("level %q of %q", level, line)
		}
		if level == LevelUnknown && knownLevel(line) != "" && !strings.EqualFold(line, "inf") {
			t.Fatalf("%q is a level", line)
		}
	})
}

func BenchmarkLevel(b *testing.B) {
	e := NewEnricher(DefaultEnrichOptions())
	for name, line := range benchLines {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				e.Level(nil, line)
			}
		})
	}
}

var benchLines = map[string]string{
	"json":        `{"ts":"2026-01-15T00:00:13.503Z","level":"info","msg":"reserve barometer for basket 1","method":"DELETE","status":503,"latency_ms":113.095,"took":"2871ms","size":"349KB","bytes":113911,"retry":false,"user":{"id":1006,"name":"x"}}`,
	"json_none":   `{"ts":"2026-01-15T00:00:13.503Z","msg":"reserve barometer for basket 1","method":"DELETE","status":503,"latency_ms":113.095,"took":"2871ms","size":"349KB","bytes":113911,"retry":false,"user":{"id":1006,"name":"x"}}`,
	"logfmt":      `ts=2026-01-15T00:00:13.503Z level=info msg="routed request compass" method=PATCH path=/v1/pulley/24 status=200 duration=176ms size=1.5MB upstream=10.0.3.8:8080`,
	"logfmt_none": `ts=2026-01-15T00:00:13.503Z msg="routed request compass" method=PATCH path=/v1/pulley/24 status=200 duration=176ms size=1.5MB upstream=10.0.3.8:8080`,
	"java":        `2026-01-15 00:00:06,446 TRACE [pool-0-thread-8] n.h.orders.Planner - order 0 split in 661 ms`,
	"nginx":       `2001:db8::78a - - [15/Jan/2026:00:00:11 +0000] "HEAD /se%20arch?q=a%26b HTTP/2.0" 304 57978 "-" "PorterBot/2.0 (+http://porter.example/bot)" rt=0.131`,
}
