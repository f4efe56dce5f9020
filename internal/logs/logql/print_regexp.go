package logql

import "github.com/grafana/regexp/syntax"

// printsAsWritten reports whether Loki prints the regular expression of a label filter in backquotes: it does where
// it runs the expression, and not where it looks for the texts that the expression is made of.
func printsAsWritten(expr string) bool {
	re, err := syntax.Parse(expr, syntax.Perl)
	return err == nil && !isTexts(re.Simplify())
}

// isTexts reports whether Loki takes re for texts to look for: one, several joined by |, or one text with .* around
// it and endings to choose from.
func isTexts(re *syntax.Regexp) bool {
	switch re = withoutCapture(re); re.Op {
	case syntax.OpLiteral, syntax.OpEmptyMatch:
		return true
	case syntax.OpStar, syntax.OpPlus:
		return re.Sub[0].Op == syntax.OpAnyCharNotNL
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !isTexts(sub) {
				return false
			}
		}
		return true
	case syntax.OpConcat:
		return isTextWithEndings(re, nil)
	}
	return false
}

func withoutCapture(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re
}

// isTextWithEndings reports whether re is a sequence of at most three parts: a text, .*, and endings of the text.
// text is the one before re, if any.
func isTextWithEndings(re, text *syntax.Regexp) bool {
	parts, own := 0, false
	for _, sub := range re.Sub {
		switch sub = withoutCapture(sub); {
		case sub.Op == syntax.OpEmptyMatch:
			continue
		case sub.Op == syntax.OpLiteral && !own:
			own, text = true, sub
		case sub.Op == syntax.OpAlternate && text != nil:
			if !areEndings(sub, text) {
				return false
			}
		case sub.Op == syntax.OpStar && sub.Sub[0].Op == syntax.OpAnyCharNotNL:
		default:
			return false
		}
		parts++
	}
	return parts <= 3 && text != nil
}

func areEndings(alternate, text *syntax.Regexp) bool {
	for _, alt := range alternate.Sub {
		if alt.Flags&syntax.FoldCase != 0 && text.Flags&syntax.FoldCase == 0 {
			return false
		}
		ok := false
		switch alt.Op {
		case syntax.OpEmptyMatch, syntax.OpLiteral:
			ok = true
		case syntax.OpConcat:
			ok = isTextWithEndings(alt, text)
		case syntax.OpStar:
			ok = alt.Sub[0].Op == syntax.OpAnyCharNotNL
		}
		if !ok {
			return false
		}
	}
	return true
}
