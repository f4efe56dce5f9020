package column

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/loggen"
)

// requireKnown feeds lines to the tokenizer and to knownForms, which learns each of them: whatever form it finds
// must be that of the tokenizer. It returns how many it found.
func requireKnown(t require.TestingT, lines [][]byte) (found int) {
	var f knownForms
	f.begin()
	for _, line := range lines {
		s := extent{0, uint32(len(line))}
		want := tokenizer{data: line}
		want.tokenize(s, lineGrain)
		got := tokenizer{data: line}
		form := f.find(&got, s)
		if form == nil {
			require.Empty(t, got.vars)
			f.learn(line, s, want.vars, string(want.key))
			continue
		}
		found++
		require.Equal(t, string(want.key), form.key, "%q", line)
		require.Equal(t, len(want.vars), len(got.vars), "%q", line)
		for i, v := range want.vars {
			require.Equal(t, v, got.vars[i], "%q", line)
		}
	}
	return found
}

func TestKnownForms(t *testing.T) {
	f := func(found int, lines ...string) {
		t.Helper()
		var b [][]byte
		for _, line := range lines {
			b = append(b, []byte(line))
		}
		require.Equal(t, found, requireKnown(t, b), "%q", lines)
	}
	f(1, `{"a":1,"b":"x"}`, `{"a":22,"b":"xyz \" \u00e4"}`)
	f(1, `{}`, `{}`)
	f(1, `{"a":{"b":[1,2]},"c":null}`, `{"a":{"b":-1.5e3},"c":true}`)
	f(0, `{"a":1}`, `{"a":"1"}`, `{"a":{"b":1}}`, `{"a":{}}`, `{"a":01}`, `{"a":1 }`, `{"a":1}}`, `{"a":1x}`, `{"a":"\x"}`, "{\"a\":\"\x01\"}")
	f(1, `{"a":1}`, `{"a":"1"}`, `{"a":"2"}`)
	f(2, `a=1 b="x y"`, `a= b=""`, `a=xyz b="\""`)
	f(0, `a=1 b=2`, `a=1 b=2 c`, `a=1 b="2"`, `a=1 b="2`, `a="1" b=2`, `a=1=2 b=2`, `a=1 b=2"`, ` a=1 b=2`)
	f(0, "text 1", "text 2")
}

// Lines that are put together of pieces, so that they share beginnings, are found as the tokenizer takes them.
func TestKnownFormsOfAnything(t *testing.T) {
	pieces := []string{`{`, `}`, `"a":`, `"b":`, `1`, `-2.5`, `"x"`, `"a \" b"`, `null`, `[1,"x"]`, `{}`, `,`, ` `, `a=`, `bc=`, `"`, `x`, `é`, "\x11", "\n", `=`, `\`}
	rapid.Check(t, func(t *rapid.T) {
		heads := rapid.SliceOfN(rapid.SampledFrom([]string{`{"a":1,"b":`, `{"a":{"b":"x"},"c":`, `a=1 b=`, `a="x" b=`, ``, `{`}), 1, 3).Draw(t, "heads")
		var lines [][]byte
		for range rapid.IntRange(2, 30).Draw(t, "lines") {
			line := []byte(rapid.SampledFrom(heads).Draw(t, "head"))
			for range rapid.IntRange(0, 6).Draw(t, "pieces") {
				line = append(line, rapid.SampledFrom(pieces).Draw(t, "piece")...)
			}
			if rapid.Bool().Draw(t, "closed") {
				line = append(line, '}')
			}
			lines = append(lines, line)
		}
		requireKnown(t, lines)
	})
}

func FuzzKnownForms(f *testing.F) {
	f.Add([]byte("{\"a\":1,\"b\":\"x\"}\x00{\"a\":2,\"b\":\"y\"}\x00a=1 b=2\x00a=x b=\"y\""))
	f.Fuzz(func(t *testing.T, data []byte) { requireKnown(t, bytes.Split(data, []byte{0})) })
}

// What an Encoder learned from a page changes nothing of the next one.
func TestKnownFormsDontShow(t *testing.T) {
	for _, name := range []string{"json", "logfmt", "hdfs"} {
		pages := benchPages(setNamed(t, name))
		warm := NewEncoder(0)
		for _, v := range pages {
			warm.Lines(v)
			got := warm.Finish()
			want := encodeLines(v)
			require.Equal(t, AppendPage(nil, want.Page), AppendPage(nil, got.Page))
			require.Equal(t, want.Blobs, got.Blobs)
		}
	}
}

func setNamed(t *testing.T, name string) loggen.Set {
	t.Helper()
	s, ok := loggen.Find(name)
	require.True(t, ok, name)
	return s
}
