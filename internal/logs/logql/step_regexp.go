package logql

import (
	"errors"
	"fmt"

	"github.com/grafana/regexp"
)

// regexpStep is the regexp parser: named groups become labels.
type regexpStep struct {
	re    *regexp.Regexp
	names []string // by group; "" is not kept
}

func newRegexpStage(expr string) (*regexpStep, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	st := &regexpStep{re: re, names: make([]string, len(re.SubexpNames()))}
	seen := map[string]bool{}
	for i, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		if name = sanitizeKey(name); name == "" {
			return nil, fmt.Errorf("invalid extracted label name '%s'", re.SubexpNames()[i])
		}
		if seen[name] {
			return nil, fmt.Errorf("duplicate extracted label name '%s'", name)
		}
		seen[name] = true
		st.names[i] = name
	}
	if len(seen) == 0 {
		return nil, errors.New("at least one named capture must be supplied")
	}
	return st, nil
}

func (st *regexpStep) process(_ int64, line []byte, s *labelSet) ([]byte, bool) {
	if s.hints.none {
		return line, true
	}
	loc := st.re.FindSubmatchIndex(line)
	if loc == nil {
		return line, true
	}
	for i, name := range st.names {
		if name == "" {
			continue
		}
		value := ""
		if loc[2*i] >= 0 {
			value = view(line[loc[2*i]:loc[2*i+1]])
		}
		name = s.parsedName(name)
		if s.hints.wants(name) && !s.alreadyParsed(name) && s.parsed(name, value) == parseDrop {
			return line, false
		}
	}
	return line, true
}
