package traceql

import "strings"

// hint guesses what the writer of the text meant where t could not be read: habits of other
// languages and words that look like one of this language.
func (l *lexer) hint(t token) string {
	if t.off >= len(l.src) {
		return ""
	}
	before := strings.TrimRight(l.src[:t.off], " \t\r\n")
	switch {
	case t.kind == tokEOF && strings.ContainsRune("\"`", rune(l.src[t.off])): // the lexer gave up on it
		return "the text is not closed"
	case strings.HasPrefix(t.text, "'"):
		return "texts stand in double quotes or back quotes"
	case t.isOp("=") && strings.HasSuffix(before, "="):
		return "equality is a single ="
	case t.kind == tokIdentifier && strings.HasPrefix(t.text, "["):
		return `there are no lists: use =~ "a|b" or join comparisons with ||`
	case t.kind != tokIdentifier:
		return ""
	}
	switch word := strings.ToLower(t.text); word {
	case "and":
		return "use &&"
	case "or":
		return "use ||"
	case "not":
		return "use !"
	case "in":
		return `use =~ "a|b" or join comparisons with ||`
	case "null", "none", "undefined":
		return "use nil"
	case "&":
		return "use &&"
	}
	if next := l.src[min(len(l.src), t.off+len(t.text)):]; strings.HasPrefix(next, ".") {
		return "attributes have a scope: resource." + t.text + "…, span." + t.text + "… or ." + t.text + "… for either"
	}
	if k := nearKeyword(t.text); k != "" {
		return "did you mean " + k + "?"
	}
	return ""
}

// nearKeyword returns the word of the language that differs from s by one letter, or by case.
func nearKeyword(s string) string {
	best := ""
	for k := range keywords {
		if (strings.EqualFold(k, s) || oneEdit(k, s) && len(s) > 3) && (best == "" || k < best) {
			best = k
		}
	}
	return best
}

// oneEdit reports whether a becomes b by inserting, dropping, changing or swapping one letter.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) != len(b) {
		return a[i:] == b[i+1:]
	}
	if i == len(a) {
		return true
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
