package logql

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// corpusQueries are the queries of the conformance corpus.
func corpusQueries(f testing.TB) []string {
	raw, err := os.ReadFile("../../../conformance/logql/queries.json")
	if err != nil {
		f.Fatal(err)
	}
	var corpus struct {
		Queries []struct {
			Query string `json:"query"`
		} `json:"queries"`
	}
	if err := json.Unmarshal(raw, &corpus); err != nil {
		f.Fatal(err)
	}
	var out []string
	for _, q := range corpus.Queries {
		out = append(out, q.Query)
	}
	return out
}

// FuzzParse: no query makes the parser panic, and what it accepts prints to something that it accepts
// as the same, in one line and in several.
func FuzzParse(f *testing.F) {
	for _, q := range corpusQueries(f) {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		e, err := Parse(q)
		if err != nil {
			return
		}
		for _, text := range []string{e.String(), Pretty(e)} {
			again, err := Parse(text)
			if err != nil {
				t.Fatalf("%q prints as %q: %v", q, text, err)
			}
			if again.String() != e.String() {
				t.Fatalf("%q prints as %q, which is %q", q, text, again)
			}
		}
	})
}

// FuzzLexer: tokens come in the order of the text and end with the end or a fault; where they stand is counted right.
func FuzzLexer(f *testing.F) {
	for _, q := range corpusQueries(f) {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		tokens := lex(q)
		for i, tok := range tokens {
			last := i == len(tokens)-1
			if (tok.kind == tokEOF || tok.kind == tokError) != last || i > 0 && tok.offset <= tokens[i-1].offset && !last {
				t.Fatalf("%q: token %d of %d is %+v", q, i, len(tokens), tok)
			}
			line, col := position(q, tok.offset)
			if col != tok.col || line != tok.line && tok.line != 0 {
				t.Fatalf("%q: token at %d says line %d, col %d", q, tok.offset, tok.line, tok.col)
			}
		}
	})
}

// FuzzStages: no line makes a stage panic, and all labels come out as UTF-8 if the line is.
func FuzzStages(f *testing.F) {
	for _, line := range []string{`{"a":{"b":[1,{"c":"\u00e9\ud83d"}]},"a":1,}`, `a=1 b="x\"y" =c d= e`, "\x1b[31mred\x1b[0m", `{"_entry":"x","k":"v"}`, "10.0.0.1:80 ::1 fe80::"} {
		f.Add(line, "k", "1.5KB")
	}
	var pipelines []*pipeline
	for _, stages := range []string{
		`| json`, `| json a, b="a.b[0]", c="a[\"x\"]"`, `| logfmt`, `| logfmt --strict --keep-empty`, `| logfmt a, b="e"`, `| unpack | json`,
		`| pattern "<a> <_>b<c>"`, `| regexp "(?P<x>[a-z]+)=(?P<y>\\S*)"`, `| decolorize | line_format "{{.a}}{{__line__}}{{ .k | upper }}"`,
		`|= ip("10.0.0.0/8") or ip("fe80::/10")`, `|> "<_>a<_>" !> "b"`, `| logfmt | a > 5 or b < 5s or c = 1KB or e = ip("::1")`,
		`| json | label_format x=a, y="{{.x}}{{.b}}" | drop a, k="v" | keep x, y, __error__`,
	} {
		q, err := ParseLogQuery(`{app="a"} ` + stages)
		if err != nil {
			f.Fatal(err)
		}
		p, err := compile(q.Stages)
		if err != nil {
			f.Fatal(err)
		}
		pipelines = append(pipelines, p)
	}
	base := newStream(0, labels.FromStrings("app", "x", "k", "stream"))
	f.Fuzz(func(t *testing.T, line, name, value string) {
		for _, p := range pipelines {
			for _, h := range []*hints{logHints(p.filters), sampleHints(p.filters, p.needed, &Grouping{Labels: []string{"a", "k"}}, "")} {
				set := newLabelSet(h)
				set.reset(base, []logs.Label{{Name: name, Value: value}})
				if _, ok := p.run(1, []byte(line), set); ok {
					set.makeLabels(set.final())
					set.snapshot()
					set.appendKey(nil)
				}
			}
		}
	})
}

// FuzzTemplate: no template panics or runs away.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{`{{.a}} {{ range 5 }}x{{ end }}`, `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" . }}`, `{{ repeat 9 "ab" | indent 3 | alignLeft 5 }}`,
		`{{ div 1 0 }}{{ fromJson .a }}`, `{{ printf "%9999d" 1 }}`, `{{ slice .a 1 2 }}{{ index . "a" }}`} {
		f.Add(s)
	}
	base := newStream(0, labels.FromStrings("a", `{"x":[1,2]}`))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "template") && strings.Contains(text, "define") && len(text) > 200 {
			t.Skip("deep recursion of templates is bounded, but slow under the fuzzer")
		}
		tmpl, err := compileTemplate("line", text)
		if err != nil {
			return
		}
		set := newLabelSet(logHints(nil))
		set.reset(base, nil)
		_, _ = tmpl.execute(1, []byte("line"), set)
	})
}
