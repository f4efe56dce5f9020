package logql

import (
	"bytes"
	"errors"
	"fmt"
)

// pattern is a sequence of literals and captures, as in `<ip> - <_> "<verb>"`.
type pattern struct {
	nodes []patternNode
	names int // named captures
}

// patternNode is a capture (name "_" throws away) or, without a name, a literal.
type patternNode struct {
	name    string
	literal []byte
}

var errNoCapture = errors.New("at least one capture is required")

// compilePattern reads a pattern: for the parser stage (named), or for the filters |> and !>.
func compilePattern(text string, named bool) (*pattern, error) {
	p := &pattern{}
	seen := map[string]bool{}
	for i := 0; i < len(text); {
		n := captureLen(text[i:])
		if n == 0 {
			p.addLiteral(text[i])
			i++
			continue
		}
		name := text[i+1 : i+n-1]
		if len(p.nodes) > 0 && p.nodes[len(p.nodes)-1].name != "" {
			return nil, fmt.Errorf("found consecutive capture '<%s>%s': invalid expression", p.nodes[len(p.nodes)-1].name, text[i:i+n])
		}
		if name != "_" {
			if !named {
				return nil, fmt.Errorf("named captures are not allowed: found '%s'", text[i:i+n])
			}
			if seen[name] {
				return nil, fmt.Errorf("duplicate capture name (%s): invalid expression", name)
			}
			seen[name] = true
			p.names++
		}
		p.nodes = append(p.nodes, patternNode{name: name})
		i += n
	}
	if named && p.names == 0 {
		return nil, errNoCapture
	}
	return p, nil
}

func (p *pattern) addLiteral(c byte) {
	if n := len(p.nodes); n > 0 && p.nodes[n-1].name == "" {
		p.nodes[n-1].literal = append(p.nodes[n-1].literal, c)
		return
	}
	p.nodes = append(p.nodes, patternNode{literal: []byte{c}})
}

// captureLen returns the length of the <name> that s starts with, or 0.
func captureLen(s string) int {
	if s[0] != '<' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '>' && i > 1:
			return i + 1
		case c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' || i > 1 && isDigit(c):
		default:
			return 0
		}
	}
	return 0
}

// test reports whether the literals stand in the line in order, with something for every capture and
// nothing behind a last literal. A first literal need not stand at the start: Loki's rule.
func (p *pattern) test(line []byte) bool {
	if len(line) == 0 || len(p.nodes) == 0 {
		return len(line) == len(p.nodes)
	}
	for i, n := range p.nodes {
		if n.name != "" {
			continue
		}
		at := bytes.Index(line, n.literal)
		if at < 0 || at == 0 && i > 0 {
			return false
		}
		line = line[at+len(n.literal):]
	}
	endsOpen := p.nodes[len(p.nodes)-1].name != ""
	return endsOpen == (len(line) > 0)
}

// patternStep is the pattern parser.
type patternStep struct{ p *pattern }

func (st *patternStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if len(line) == 0 || s.satisfied() {
		return line, true
	}
	rest := line
	nodes := st.p.nodes
	if nodes[0].name == "" {
		if !bytes.HasPrefix(rest, nodes[0].literal) {
			return line, true
		}
		rest = rest[len(nodes[0].literal):]
		nodes = nodes[1:]
	}
	for len(nodes) > 0 {
		capture := nodes[0]
		value, more := rest, false
		if len(nodes) > 1 {
			if at := bytes.Index(rest, nodes[1].literal); at >= 0 {
				value, rest, more = rest[:at], rest[at+len(nodes[1].literal):], true
			}
		}
		if capture.name != "_" {
			name := s.parsedName(capture.name)
			if s.hints.wants(name) && !s.alreadyParsed(name) && s.parsed(name, view(value)) == parseDrop {
				return line, false
			}
		}
		if !more {
			break
		}
		nodes = nodes[2:]
	}
	return line, true
}
