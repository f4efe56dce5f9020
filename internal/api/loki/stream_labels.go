package loki

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

// labelCache remembers the label sets of texts that were parsed: agents send the same few over and
// over. It forgets all when it is full.
type labelCache struct {
	mu   sync.RWMutex
	sets map[string]labels.Labels
	size int
}

// maxCachedLabels bounds the cache, in bytes of text.
const maxCachedLabels = 8 << 20

func newLabelCache() *labelCache { return &labelCache{sets: map[string]labels.Labels{}} }

func (c *labelCache) get(text []byte) (labels.Labels, error) {
	c.mu.RLock()
	ls, ok := c.sets[string(text)]
	c.mu.RUnlock()
	if ok {
		return ls, nil
	}
	key := string(text)
	ls, err := parseLabels(key)
	if err != nil {
		return ls, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size += len(key); c.size > maxCachedLabels {
		clear(c.sets)
		c.size = len(key)
	}
	c.sets[key] = ls
	return ls, nil
}

// labelError is a fault in a label text. Col counts bytes from 1.
type labelError struct {
	col int
	msg string
}

func (e *labelError) Error() string {
	return fmt.Sprintf("parse error at line 1, col %d: %s", e.col, e.msg)
}

// parseLabels reads {a="b", c="d"}.
func parseLabels(text string) (labels.Labels, error) {
	p := labelParser{in: text}
	pairs, err := p.parse()
	if err != nil {
		return labels.EmptyLabels(), err
	}
	return logs.NewLabels(pairs)
}

type labelParser struct {
	in  string
	pos int
}

func (p *labelParser) failf(format string, args ...any) error {
	return &labelError{p.pos + 1, "syntax error: " + fmt.Sprintf(format, args...)}
}

func (p *labelParser) space() {
	for p.pos < len(p.in) {
		switch p.in[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// accept takes c after blanks.
func (p *labelParser) accept(c byte) bool {
	p.space()
	if p.pos < len(p.in) && p.in[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// unexpected names what stands at the position.
func (p *labelParser) unexpected(expecting string) error {
	if p.pos >= len(p.in) {
		return p.failf("unexpected $end, expecting %s", expecting)
	}
	r, _ := utf8.DecodeRuneInString(p.in[p.pos:])
	return p.failf("unexpected %q, expecting %s", r, expecting)
}

func (p *labelParser) parse() ([]logs.Label, error) {
	if !p.accept('{') {
		return nil, p.unexpected("{")
	}
	var out []logs.Label
	for first := true; ; first = false {
		if first && p.accept('}') {
			break
		}
		p.space()
		name := p.name()
		if name == "" {
			return nil, p.unexpected("IDENTIFIER or }")
		}
		if !p.accept('=') {
			return nil, p.unexpected("=")
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		out = append(out, logs.Label{Name: name, Value: value})
		if p.accept('}') {
			break
		}
		if !p.accept(',') {
			return nil, p.unexpected("} or ,")
		}
		if p.accept('}') { // a comma may stand behind the last label
			break
		}
	}
	p.space()
	if p.pos < len(p.in) {
		return nil, p.unexpected("$end")
	}
	return out, nil
}

func (p *labelParser) name() string {
	from := p.pos
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		if c != '_' && c != ':' && c != '.' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9' || p.pos == from) && c < utf8.RuneSelf {
			break
		}
		p.pos++
	}
	return p.in[from:p.pos]
}

// validText replaces every byte that is not UTF-8 by U+FFFD, as LogQL reads it in a selector.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

var errEscape = errors.New("bad escape")

// value reads a quoted text.
func (p *labelParser) value() (string, error) {
	p.space()
	if p.pos >= len(p.in) || p.in[p.pos] != '"' && p.in[p.pos] != '`' {
		return "", p.unexpected("STRING")
	}
	quote, from := p.in[p.pos], p.pos
	for i := from + 1; i < len(p.in); i++ {
		switch {
		case p.in[i] == '\\' && quote == '"':
			i++
		case p.in[i] == quote:
			text, err := unquote(p.in[from : i+1])
			if err != nil {
				return "", &labelError{from + 1, "invalid char escape"}
			}
			p.pos = i + 1
			return validText(text), nil
		}
	}
	return "", &labelError{from + 1, "literal not terminated"}
}

func unquote(s string) (string, error) {
	if s[0] == '`' || strings.IndexByte(s, 0x5c) < 0 {
		return s[1 : len(s)-1], nil
	}
	out, err := strconv.Unquote(s)
	if err != nil {
		return "", errEscape
	}
	return out, nil
}
