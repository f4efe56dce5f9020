package logql

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPaths: paths of json and keys of logfmt expressions, with Loki's words for what is wrong.
func TestPaths(t *testing.T) {
	f := func(path string, want ...string) {
		t.Helper()
		got, err := parsePath(path)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("a", "a")
	f("a.b_c.D9", "a", "b_c", "D9")
	f(" a . b ", "a", "b")
	f("a[0][12].b", "a", "[0]", "[12]", "b")
	f(`["a"]["b.c d"][0]`, "a", "b.c d", "[0]")
	f("[7]", "[7]")
	f(`a["é-x"]`, "a", "é-x")
	bad := func(path, want string) {
		t.Helper()
		_, err := parsePath(path)
		require.EqualError(t, err, want)
	}
	bad("", "syntax error: unexpected $end, expecting LSB or FIELD")
	bad(`"a"`, "syntax error: unexpected STRING, expecting LSB or FIELD")
	bad("a.", "syntax error: unexpected $end, expecting FIELD")
	bad("a..b", "syntax error: unexpected DOT, expecting FIELD")
	bad("a b", "syntax error: unexpected FIELD")
	bad("a-b", "unexpected char -")
	bad("a.é", "syntax error: unexpected $end, expecting FIELD")
	bad("a[b]", "syntax error: unexpected FIELD, expecting STRING or INDEX")
	bad("a[1.5]", "syntax error: unexpected $end, expecting STRING or INDEX")
	bad("a[", "syntax error: unexpected $end, expecting STRING or INDEX")
	bad(`a["b"`, "syntax error: unexpected $end, expecting RSB")
	bad(`a["b" "c"]`, "syntax error: unexpected STRING, expecting RSB")
	bad(`a["b]`, "syntax error: unexpected $end, expecting RSB")

	key := func(path, want string) {
		t.Helper()
		got, err := parseLogfmtPath(path)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	key("a_9", "a_9")
	key(` "a b" `, "a b")
	badKey := func(path, want string) {
		t.Helper()
		_, err := parseLogfmtPath(path)
		require.EqualError(t, err, want)
	}
	badKey("", "syntax error: unexpected $end, expecting KEY or STRING")
	badKey("a b", "syntax error: unexpected KEY")
	badKey(`a "b"`, "syntax error: unexpected STRING")
	badKey("a.b", "unexpected char .")
	badKey("-", "syntax error: unexpected $end, expecting KEY or STRING")
}
