package traceql

// tokenKind is the class of a token. Keywords and operators are told apart by their text.
type tokenKind uint8

const (
	tokEOF        tokenKind = iota
	tokKeyword              // a word of the language, text is the word
	tokOp                   // punctuation and operators
	tokScope                // "span.", "resource.", ".", …: an attribute name follows in the same token
	tokString               // str is the unquoted value
	tokInt                  // num
	tokFloat                // flt
	tokDuration             // num, nanoseconds
	tokIdentifier           // anything else: an unknown word or character
)

// token is one lexeme. For tokScope, text is the scope as written and str the attribute's name.
type token struct {
	kind      tokenKind
	text      string
	str       string
	num       int64
	flt       float64
	line, col int // of its first character, from 1
	off       int // of its first byte
	// peeked marks operators of several characters. The reference loses the line of these and says
	// line 0; its texts are matched by clients, see SyntaxError.
	peeked bool
}

// String names the token as error messages do.
func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "$end"
	case tokString:
		return "STRING"
	case tokInt:
		return "INTEGER"
	case tokFloat:
		return "FLOAT"
	case tokDuration:
		return "DURATION"
	case tokIdentifier:
		return "IDENTIFIER"
	}
	return t.text
}

func (t token) isOp(text string) bool   { return t.kind == tokOp && t.text == text }
func (t token) isWord(text string) bool { return t.kind == tokKeyword && t.text == text }

// keywords are the words of the language. All are also valid attribute names after a scope.
var keywords = set(
	"true", "false", "nil", "minInt", "maxInt",
	"ok", "error", "unset", "unspecified", "internal", "server", "client", "producer", "consumer",
	"duration", "childCount", "name", "status", "statusMessage", "kind", "rootName", "rootServiceName",
	"rootService", "traceDuration", "nestedSetLeft", "nestedSetRight", "nestedSetParent", "id", "traceID",
	"spanID", "parentID", "timeSinceStart", "version", "parent",
	"count", "avg", "max", "min", "sum", "by", "coalesce", "select",
	"rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time", "sum_over_time",
	"quantile_over_time", "histogram_over_time", "compare", "topk", "bottomk", "with",
)

// operators, longest first so that the first match is the right one.
var operators = []string{
	"!>>", "!<<", "&>>", "&<<",
	"=~", "!=", "!~", ">=", "<=", "&&", "||", ">>", "<<", "!>", "!<", "&>", "&<", "&~",
	"{", "}", "(", ")", ",", "=", "!", "<", ">", "~", "|", "+", "-", "*", "/", "%", "^",
}

// scopeWords may be followed by "." (attribute) or ":" (intrinsic).
var (
	dotScopes   = set("span", "resource", "event", "link", "instrumentation", "parent")
	colonScopes = set("span", "trace", "event", "link", "instrumentation")
)

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}
