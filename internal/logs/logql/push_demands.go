package logql

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/column"
)

// What a line must have so that a stage lets it pass which columns can't answer: the pipeline sees the rest.

// addressDemands returns what a line must have to pass a filter |= of which a term is an address.
func addressDemands(f *LineFilter) []pushLine {
	if f.Match != LineContains {
		return nil
	}
	var d pushLine
	for _, t := range f.Terms {
		if !t.IP {
			d.any = append(d.any, pushLiteral{op: column.Contains, text: []byte(t.Text)})
			continue
		}
		p, err := parseIPPattern(t.Text)
		if err != nil {
			return nil
		}
		d.any = append(d.any, p.literal())
	}
	return []pushLine{d}
}

// literal returns what the text of every address of p has, as it is written in lines.
func (p ipPattern) literal() pushLiteral {
	text, fold := ":", false
	if p.from.Is4() {
		text = commonOctets(p.from, p.to)
	} else if first := commonHextet(p.from, p.to); first != 0 {
		text, fold = fmt.Sprintf("%x:", first), true // before it there may be zeros
	}
	return pushLiteral{op: column.Contains, text: []byte(text), fold: fold}
}

// commonOctets returns the octets that two addresses, and so all between them, begin with: numbers without leading
// zeros, each with its point. With none in common an address still has a point.
func commonOctets(from, to netip.Addr) string {
	if from == to {
		return from.String()
	}
	a, b := from.As4(), to.As4()
	var text strings.Builder
	for i := 0; i < len(a) && a[i] == b[i]; i++ {
		fmt.Fprintf(&text, "%d.", a[i])
	}
	if text.Len() == 0 {
		return "."
	}
	return text.String()
}

// commonHextet returns the first 16 bits of two addresses of IPv6 if they are the same, else 0. An address that begins
// with zeros may be written without them.
func commonHextet(from, to netip.Addr) uint16 {
	a, b := from.As16(), to.As16()
	if a[0] != b[0] || a[1] != b[1] {
		return 0
	}
	return uint16(a[0])<<8 | uint16(a[1])
}

// packedDemands returns what a line must have so that unpack finds a label in it with which the row passes. Filters that
// let marked rows pass demand nothing: a line that isn't JSON is marked.
func packedDemands(l *pushLeaf) []pushLine {
	if l.text == nil || l.name == "" || l.name == errorLabel || l.name == errorDetailsLabel ||
		strings.HasSuffix(l.name, extractedSuffix) || l.test.keep(newLabelSetOf(&hints{})) {
		return nil
	}
	escape := pushLiteral{op: column.Contains, text: []byte{'\\'}} // any byte of a key or value may be written so
	d := pushLine{label: l.name, any: []pushLiteral{{op: column.Contains, text: []byte(l.name)}, escape}}
	switch {
	case l.text.Type == labels.MatchEqual && !strings.ContainsRune(l.text.Value, utf8.RuneError):
		d.any[0].text = []byte(l.text.Value) // U+FFFD would be any bytes that aren't UTF-8
	case strings.Contains(l.name, "_"):
		return nil // what else keys have is replaced by it
	}
	return []pushLine{d}
}
