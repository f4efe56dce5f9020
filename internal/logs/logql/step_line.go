package logql

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/grafana/regexp"
	"github.com/grafana/regexp/syntax"
)

// lineStep keeps lines that match any (positive) or none (negative) of its terms.
type lineStep struct {
	negate bool
	terms  []lineTest
}

type lineTest interface{ test(line []byte) bool }

func (f *lineStep) process(_ int64, line []byte, _ *labelSet) ([]byte, bool) {
	return line, f.match(line)
}

func (f *lineStep) match(line []byte) bool {
	for _, t := range f.terms {
		if t.test(line) {
			return !f.negate
		}
	}
	return f.negate
}

func compileLineFilter(f *LineFilter) (step, error) {
	c := &lineStep{negate: f.Match.Negative()}
	for _, t := range f.Terms {
		test, err := compileLineTerm(f.Match, t)
		if err != nil {
			return nil, err
		}
		c.terms = append(c.terms, test)
	}
	return c, nil
}

var errIPOperation = errors.New("ip: invalid operation")

func compileLineTerm(m LineMatch, t LineTerm) (lineTest, error) {
	switch {
	case t.IP && m > LineNotContains:
		return nil, errIPOperation
	case t.IP:
		return newIPTest(t.Text)
	case m == LineContains || m == LineNotContains:
		return containsTest(t.Text), nil
	case m == LineRegexp || m == LineNotRegexp:
		return newRegexpTest(t.Text)
	default:
		return compilePattern(t.Text, false)
	}
}

type containsTest []byte

func (c containsTest) test(line []byte) bool { return bytes.Contains(line, c) }

type regexpTest struct{ re *regexp.Regexp }

func (r regexpTest) test(line []byte) bool { return r.re.Match(line) }

// newRegexpTest compiles re; a plain text, or several joined by |, is looked for as text.
func newRegexpTest(expr string) (lineTest, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	if parsed, err := syntax.Parse(expr, syntax.Perl); err == nil {
		if words := literals(parsed.Simplify()); words != nil {
			return anyContains(words), nil
		}
	}
	return regexpTest{re}, nil
}

// literals returns the texts that re is an alternation of, or nil.
func literals(re *syntax.Regexp) [][]byte {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return [][]byte{[]byte(string(re.Rune))}
		}
	case syntax.OpEmptyMatch:
		return [][]byte{{}}
	case syntax.OpAlternate:
		var out [][]byte
		for _, sub := range re.Sub {
			words := literals(sub)
			if words == nil {
				return nil
			}
			out = append(out, words...)
		}
		return out
	}
	return nil
}

type anyContains [][]byte

func (a anyContains) test(line []byte) bool {
	for _, w := range a {
		if bytes.Contains(line, w) {
			return true
		}
	}
	return false
}

// ipPattern is an address, a range of addresses or a network.
type ipPattern struct{ from, to netip.Addr }

func parseIPPattern(s string) (ipPattern, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return ipPattern{a, a}, nil
	}
	if from, to, ok := strings.Cut(s, "-"); ok {
		a, errA := netip.ParseAddr(from)
		b, errB := netip.ParseAddr(to)
		if errA == nil && errB == nil && a.BitLen() == b.BitLen() && !b.Less(a) {
			return ipPattern{a, b}, nil
		}
	}
	if n, err := netip.ParsePrefix(s); err == nil {
		n = n.Masked()
		return ipPattern{n.Addr(), lastAddr(n)}, nil
	}
	return ipPattern{}, fmt.Errorf("ip: invalid pattern: %q", s)
}

func lastAddr(n netip.Prefix) netip.Addr {
	b := n.Addr().AsSlice()
	for i := n.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// contains compares addresses as they are written: an IPv4 address mapped to IPv6 is in no IPv4 network.
func (p ipPattern) contains(a netip.Addr) bool {
	return a.BitLen() == p.from.BitLen() && !a.Less(p.from) && !p.to.Less(a)
}

// ipTest looks for an address inside a line.
type ipTest struct{ p ipPattern }

func newIPTest(s string) (lineTest, error) {
	p, err := parseIPPattern(s)
	return ipTest{p}, err
}

// test tries the addresses that it comes across: of IPv4 where a digit is followed by a point, of IPv6 where up to
// four hexadecimal digits or a colon are followed by a colon. What looks like an address and is none is passed over
// as a whole, so 10.0.0.1. with a point behind it isn't found: Loki's rule.
func (t ipTest) test(line []byte) bool {
	for i := 0; i < len(line); i++ {
		var n int
		switch {
		case startsIPv4(line[i:]):
			n = runLen(line[i:], isIP4Byte)
		case startsIPv6(line[i:]):
			n = runLen(line[i:], isIP6Byte)
		default:
			continue
		}
		if a, err := netip.ParseAddr(view(line[i : i+n])); err == nil && t.p.contains(a) {
			return true
		}
		i += n
	}
	return false
}

func startsIPv4(b []byte) bool {
	return len(b) > 3 && isDigit(b[0]) && (b[1] == '.' || b[2] == '.' || b[3] == '.')
}

func startsIPv6(b []byte) bool {
	if len(b) > 2 && b[0] == ':' && b[1] == ':' && isHexDigit(b[2]) {
		return true
	}
	for i := 0; i < len(b) && i < 5; i++ {
		if b[i] == ':' {
			return i > 0
		}
		if !isHexDigit(b[i]) {
			return false
		}
	}
	return false
}

func runLen(b []byte, in func(byte) bool) int {
	for i, c := range b {
		if !in(c) {
			return i
		}
	}
	return len(b)
}

func isHexDigit(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
func isIP4Byte(c byte) bool  { return isDigit(c) || c == '.' }
func isIP6Byte(c byte) bool  { return isHexDigit(c) || c == ':' || c == '.' }
