package logql

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/column"
)

func TestAddressLiteral(t *testing.T) {
	f := func(pattern, want string, fold bool) {
		p, err := parseIPPattern(pattern)
		require.NoError(t, err)
		require.Equal(t, pushLiteral{op: column.Contains, text: []byte(want), fold: fold}, p.literal(), pattern)
	}
	f("192.168.4.5", "192.168.4.5", false)
	f("192.168.4.5-192.168.7.1", "192.168.", false)
	f("10.0.0.0/8", "10.", false)
	f("10.0.0.0/7", ".", false)
	f("2001:db8::/32", "2001:", true)
	f("db8::1", "db8:", true)
	f("::1", ":", false)
	f("2001::-2002::", ":", false)
}

// A line that has an address of a pattern, however it is written, has the literal.
func TestAddressLiteralIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
		some := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]byte{0, 1, 13, 255}), rapid.Byte()), size, size)
		addr, _ := netip.AddrFromSlice(some.Draw(t, "address"))
		p := ipPattern{addr, addr}
		if n := rapid.IntRange(0, size*8).Draw(t, "bits"); n < size*8 {
			prefix := netip.PrefixFrom(addr, n).Masked()
			p = ipPattern{prefix.Addr(), lastAddr(prefix)}
		}
		form := rapid.SampledFrom([]func(string) string{strings.ToLower, strings.ToUpper}).Draw(t, "case")
		for _, text := range []string{form(addr.String()), form(addr.StringExpanded())} {
			if !(ipTest{p}).test([]byte("from " + text + " port 22")) {
				continue // an address may be followed by what makes it none
			}
			lit := p.literal()
			low := func(s string) string {
				if lit.fold {
					return strings.ToLower(s)
				}
				return s
			}
			require.Contains(t, low(text), low(string(lit.text)))
		}
	})
}
