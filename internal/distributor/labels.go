package distributor

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
)

// labelFault is what can be wrong with one label.
type labelFault int

const (
	labelOK labelFault = iota
	labelEmptyName
	labelNotUTF8
	labelBadName // not [a-zA-Z_][a-zA-Z0-9_]*
	labelNameTooLong
	labelValueTooLong
	labelDuplicate
	labelUnsorted
)

func (f labelFault) describe(l labels.Label) string {
	switch f {
	case labelEmptyName:
		return "a label has an empty name"
	case labelNotUTF8:
		return fmt.Sprintf("label %s is not valid UTF-8: %s", clip(fmt.Sprintf("%q", l.Name)), clip(fmt.Sprintf("%q", l.Value)))
	case labelBadName:
		return fmt.Sprintf("label name %s has characters other than letters, digits and _, or starts with a digit", clip(fmt.Sprintf("%q", l.Name)))
	case labelDuplicate:
		return fmt.Sprintf("duplicate label name %s", clip(l.Name))
	case labelUnsorted:
		return fmt.Sprintf("labels are not sorted at %s", clip(l.Name))
	}
	return "a label is invalid"
}

// labelCheck looks at the labels of one set in order and remembers the first fault. The zero
// value checks form only; a limit of 0 is none.
type labelCheck struct {
	maxName, maxValue int
	legacyNames       bool // names must be what LogQL selectors can say

	count int
	bad   labelFault
	label labels.Label // the one with the fault
	prev  string
}

func (c *labelCheck) next(l labels.Label) {
	c.count++
	if c.bad == labelOK {
		if c.bad = c.check(l); c.bad != labelOK {
			c.label = l
		}
	}
	c.prev = l.Name
}

func (c *labelCheck) check(l labels.Label) labelFault {
	switch {
	case l.Name == "":
		return labelEmptyName
	case c.maxName > 0 && len(l.Name) > c.maxName:
		return labelNameTooLong
	case c.maxValue > 0 && len(l.Value) > c.maxValue:
		return labelValueTooLong
	case !utf8.ValidString(l.Name) || !utf8.ValidString(l.Value):
		return labelNotUTF8
	case c.legacyNames && !legacyName(l.Name):
		return labelBadName
	case c.count > 1 && l.Name == c.prev:
		return labelDuplicate
	case c.count > 1 && l.Name < c.prev:
		return labelUnsorted
	}
	return labelOK
}

func legacyName(s string) bool {
	for i := range len(s) {
		b := s[i]
		if b == '_' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || i > 0 && '0' <= b && b <= '9' {
			continue
		}
		return false
	}
	return true
}

// maxQuoted bounds what a message repeats of the input, in bytes.
const maxQuoted = 200

// clip shortens text that goes into a message, at a rune boundary.
func clip(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return s
}
