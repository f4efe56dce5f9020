package column

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// split returns the key of a line, with · for a slot, and the values.
func split(line string, g grain) (key string, values []string) {
	t := tokenizer{data: []byte(line)}
	t.tokenize(extent{0, uint32(len(line))}, g)
	for _, v := range t.vars {
		values = append(values, line[v.off:v.end()])
	}
	return string(t.key), values
}

func TestTokenize(t *testing.T) {
	f := func(g grain, line, key string, values ...string) {
		t.Helper()
		gotKey, got := split(line, g)
		require.Equal(t, key, strings.ReplaceAll(gotKey, "\x11", "·"))
		require.Equal(t, values, got)
	}
	f(lineGrain, "Received block blk_-123 of size 67 from /10.0.0.1", "GReceived block · of size · from /·", "blk_-123", "67", "10.0.0.1")
	f(lineGrain, "user=bob is cafe café", "Guser=· is · ·", "bob", "cafe", "café")
	f(lineGrain, "2024-01-02 03:04:05,678 x 03:04:05 y 2024-01-02T03:04:05.678Z", "G· x · y ·", "2024-01-02 03:04:05,678", "03:04:05", "2024-01-02T03:04:05.678Z")
	f(lineGrain, "2024-01-02T03:04:05+02:00 12:34:56.7 12:34:567", "G· ·:·:· ·:·:·", "2024-01-02T03:04:05+02:00", "12", "34", "56.7", "12", "34", "567")
	f(lineGrain, `"GET /a?b=1 HTTP" "" "a\"b" "open`, `G"·" "" "·" "open`, "GET /a?b=1 HTTP", `a\"b`)
	f(lineGrain, `{"a": "x", "b": {"c": -1.5e3, "d": {}}, "e": [1, {"f": "]"}] }`, `J{"a": "·", "b": {"c": ·, "d": {}}, "e": · }`, "x", "-1.5e3", `[1, {"f": "]"}]`)
	f(lineGrain, `a=1 b="x \" y"  c= `, `La=· b="·"  c=· `, "1", `x \" y`, "")
	f(fineGrain, "blk_-123", "Gblk_·", "-123")
	f(fineGrain, "R02-M1-N0-C:J12-U11 20ms a1b2 dead é1", "GR·-M·-N·-C:J·-U· ·ms · · ··", "02", "1", "0", "12", "11", "20", "a1b2", "dead", "é", "1")
}

// TestStrictModes lists what a parser would find fault with, or read otherwise.
func TestStrictModes(t *testing.T) {
	generic := func(line string) {
		t.Helper()
		key, _ := split(line, lineGrain)
		require.Equal(t, Generic, modeOf(key), "%q", line)
	}
	for _, line := range []string{
		`{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":1e}`, `{"a":tru}`, `{"a":truex}`, `{"a":nul}`, `{"a":NaN}`,
		`{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12"}`, "{\"a\":\"\x01\"}", "{\"a\":\"\t\"}", `{"a":"b}`, `{"a" "b"}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`,
		`{a:1}`, `{'a':1}`, `{"a":[1,]}`, `{"a":[1}`, `{"a":[{"b"}]}`, `{"a":[1]]}`, "{\"\xff\":1}", `{"` + strings.Repeat("k", 130) + `":1}`,
		`{"a":1}}`, `{"a":1}{"b":2}`, `{"a":{}`, strings.Repeat(`{"a":`, 8) + "1" + strings.Repeat("}", 8), `{"a":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + "}",
		`a=1`, `a=1 b`, `a=1 =2`, `a=1 b=2=3`, `a=1 b="x`, `a=1 b="x"y`, `a=1 b=x"y`, "a=1\tb=2", `a=1 b="\q"`, "a=1 b=\"\t\"", "a=1 \xffb=2", `a"=1 b=2`, `a b=1 c=2`,
	} {
		generic(line)
	}
}

// TestTokenizedLines holds what the tokenizer makes of a line against the line.
func TestTokenizedLines(t *testing.T) {
	mutated := rapid.Custom(func(t *rapid.T) string {
		line := []byte(lineGen().Draw(t, "line"))
		for range rapid.IntRange(0, 2).Draw(t, "mutations") {
			if len(line) > 0 {
				line[rapid.IntRange(0, len(line)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("{}[]\",:=\\ 019-ntu\x11\x12\xff\t")).Draw(t, "byte")
			}
		}
		return string(line)
	})
	rapid.Check(t, func(t *rapid.T) {
		line := mutated.Draw(t, "line")
		for g := lineGrain; g < noGrain; g++ {
			key, values := split(line, g)
			pieces := splitKey(key)
			require.Len(t, pieces, len(values)+1, "%q", key)
			rebuilt := pieces[0]
			for i, v := range values {
				rebuilt += v + pieces[i+1]
			}
			require.Equal(t, line, rebuilt)
			mode := modeOf(key)
			if mode == Generic {
				continue
			}
			fields, ok := fieldsOf(mode, key[1:], len(values))
			require.True(t, ok, "%q", key)
			checkFields(t, mode, line, fields, values)
		}
	})
}

// checkFields holds the fields of a line against those that a parser finds.
func checkFields(t require.TestingT, mode Mode, line string, fields []Field, values []string) {
	if mode == Logfmt {
		for _, f := range fields {
			require.Contains(t, line, f.Path[0]+"=")
		}
		return
	}
	require.True(t, json.Valid([]byte(line)), "%q", line)
	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &object))
	last := map[string]Field{} // of equal paths the last one counts
	for _, f := range fields {
		last[fmt.Sprintf("%q", f.Path)] = f
	}
	for _, f := range last {
		if len(f.Path) > 1 || strings.Contains(f.Path[0], `\`) || strings.ToValidUTF8(f.Path[0], "") != f.Path[0] {
			continue
		}
		want, ok := object[f.Path[0]]
		require.True(t, ok, "%q", f.Path)
		if f.Slot < 0 {
			continue
		}
		text := values[f.Slot]
		if f.Quoted {
			text = `"` + text + `"`
		}
		var got any
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, want, got)
	}
}

// TestFieldsRefuse lists template texts that aren't of the grammar.
func TestFieldsRefuse(t *testing.T) {
	for _, text := range []string{"", "{", "}", `{"a":1}`, `{"a":"x"}`, "{\"a\":\"\x11}", "{\"a\":\x11\x11}", "{\"a\":\x11,}", "{\x11:\x11}", "{\"a\":\x11} ", " {}", "{\"a\":{\"b\":\x11}", "{\"a\" \x11}"} {
		_, ok := fieldsOf(JSON, text, strings.Count(text, "\x11"))
		require.False(t, ok, "%q", text)
	}
	for _, text := range []string{"", "a=\x11", "a=1 b=\x11", "a=\x11b=\x11", "a=\x11 b=\"\x11", "a=\x11 b", "=\x11 b=\x11", "a=\x11\tb=\x11", "\x11=\x11 b=\x11"} {
		_, ok := fieldsOf(Logfmt, text, strings.Count(text, "\x11"))
		require.False(t, ok, "%q", text)
	}
	_, ok := fieldsOf(JSON, "{\"a\":\x11}", 2)
	require.False(t, ok)
}

func TestFields(t *testing.T) {
	fields, ok := fieldsOf(JSON, "{\"a\":\x11,\"b\": {\"c\":\"\x11\",\"d\":{}} , \"e\":{\"f\\\"\":\x11}}", 3)
	require.True(t, ok)
	require.Equal(t, []Field{
		{Path: []string{"a"}, Slot: 0},
		{Path: []string{"b", "c"}, Slot: 1, Quoted: true},
		{Path: []string{"b", "d"}, Slot: -1},
		{Path: []string{"e", `f\"`}, Slot: 2},
	}, fields)
	fields, ok = fieldsOf(Logfmt, " a=\x11  b=\"\x11\" ", 2)
	require.True(t, ok)
	require.Equal(t, []Field{{Path: []string{"a"}, Slot: 0}, {Path: []string{"b"}, Slot: 1, Quoted: true}}, fields)
}

func TestSkipPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte("abc xyz\x7f\x80\xff\x1f\"\\ 0~!#[]")), 0, 40).Draw(t, "bytes")
		want := 0
		for want < len(b) && plainChars[b[want]] {
			want++
		}
		require.Equal(t, want, skipPlain(b, 0))
	})
}
