package logql

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDeepQueries: chains and nestings up to the limit are read, printed and read again; beyond it is an error.
func TestDeepQueries(t *testing.T) {
	repeat := strings.Repeat
	n := maxDepth - 10
	for name, q := range map[string]string{
		"or":          `{a="b"} | x=1` + repeat(" or x=1", n),
		"and":         `{a="b"} | x=1` + repeat(" and x=1", n),
		"comma":       `{a="b"} | x=1` + repeat(", x=1", n),
		"parentheses": `{a="b"} | ` + repeat("(", n) + "x=1" + repeat(" or y=1)", n),
		"sum":         repeat("sum(", n) + `rate({a="b"}[1m])` + repeat(")", n),
		"plus":        `vector(1)` + repeat(" + vector(1)", n),
		"power":       `vector(1)` + repeat(" ^ vector(1)", n),
		"stages":      `{a="b"}` + repeat(` | x="1"`, 4*n),
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Parse(q)
			require.NoError(t, err)
			for _, text := range []string{e.String(), Pretty(e)} {
				if len(text) >= maxQuery {
					continue // indentation may be longer than a query can be
				}
				again, err := Parse(text)
				require.NoError(t, err)
				require.Equal(t, e.String(), again.String())
			}
			require.Empty(t, ParseTolerant(q, len(q)/2).Faults)
		})
	}
	for _, q := range []string{
		`{a="b"} | x=1` + repeat(" or x=1", maxDepth), repeat("sum(", maxDepth) + `rate({a="b"}[1m])` + repeat(")", maxDepth),
		`vector(1)` + repeat("+vector(1)", 10_000), repeat("(", maxQuery-1), `{a="b"} | ` + repeat("(", 100_000),
	} {
		_, err := Parse(q)
		require.Error(t, err)
		require.NotEmpty(t, ParseTolerant(q, len(q)).Faults)
	}
}
