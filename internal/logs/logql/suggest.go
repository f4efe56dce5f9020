package logql

import "slices"

// stageWords are the words that may follow a pipe.
var stageWords = []string{
	"json", "logfmt", "regexp", "pattern", "unpack", "line_format", "label_format", "drop", "keep", "decolorize", "distinct", "unwrap",
}

// expressionFunctions are the names that an expression may begin with.
var expressionFunctions = slices.Concat(rangeOps, vectorOps, []string{"label_replace", "vector", "variants"})

var comparisonWords = []string{"=", "!=", "=~", "!~", "==", ">", ">=", "<", "<="}

// suggest says what might have been meant where the parser stands; empty if nobody knows.
func (p *parser) suggest() string {
	at := p.tokens[p.pos]
	if at.kind == tokBad && at.str == "'" {
		return `quote with " or with backquotes`
	}
	for i := p.pos; i >= 0 && i >= p.pos-1; i-- {
		if s := p.suggestFor(i); s != "" {
			return s
		}
	}
	if at.kind == tokKey && at.str == ")" && p.pos > 0 && p.tokens[p.pos-1].kind == tokKey && p.tokens[p.pos-1].str == "}" {
		return "a window such as [5m] is missing"
	}
	return ""
}

// suggestFor looks at one token.
func (p *parser) suggestFor(i int) string {
	t := p.tokens[i]
	if t.kind != tokIdent {
		return ""
	}
	before, after := token{}, p.tokens[min(i+1, len(p.tokens)-1)]
	if i > 0 {
		before = p.tokens[i-1]
	}
	var known []string
	switch {
	case after.kind == tokKey && (after.str == "(" || after.str == "by" || after.str == "without"):
		known = expressionFunctions
	case before.kind == tokKey && before.str == "|":
		known = stageWords
	case before.kind == tokKey && slices.Contains(comparisonWords, before.str), before.kind == tokKey && slices.Contains(lineOperators[:], before.str):
		return "put " + t.str + " in quotes"
	}
	if word := nearest(t.str, known); word != "" {
		return "did you mean " + word + "?"
	}
	return ""
}

// nearest returns the one of known that differs least from word, if that is little.
func nearest(word string, known []string) string {
	best, distance := "", max(2, len(word)/3)+1
	if len(word) < 4 {
		distance = 2
	}
	if len(word) > 64 {
		return ""
	}
	for _, k := range known {
		if d := editDistance(word, k); d > 0 && d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, remove or replace that make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
