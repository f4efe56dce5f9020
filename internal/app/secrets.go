package app

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// hidden stands for a secret where the configuration is shown.
const hidden = "<secret>"

// Words that make a key's value a secret, wherever they stand in the key or as its end. Keys are
// compared in lower case and without separators: the configuration holds sections whose keys other
// projects chose (object storage, scrape configs, the collector).
var (
	secretWords = []string{"secret", "password", "passwd", "passphrase", "token", "apikey", "privatekey", "authorization"}
	secretEnds  = []string{"accesskey", "accountkey", "ssekey", "encryptionkey", "keypem", "serviceaccount", "credentials", "connectionstring"}
	// Where a secret is, not what it is.
	placeEnds = []string{"file", "url"}
)

var keySeparators = strings.NewReplacer("_", "", "-", "", ".", "")

// isSecret reports whether the value of a key must not be shown.
func isSecret(key string) bool {
	key = keySeparators.Replace(strings.ToLower(key))
	for _, end := range placeEnds {
		if strings.HasSuffix(key, end) {
			return false
		}
	}
	for _, word := range secretWords {
		if strings.Contains(key, word) {
			return true
		}
	}
	for _, end := range secretEnds {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return false
}

// urlPassword is the password of a URL's user.
var urlPassword = regexp.MustCompile(`(://[^/@:\s]*):[^/@\s]+@`)

// hideSecrets replaces the secrets in a YAML document: values of keys that name one, alone or as a
// list, and passwords in URLs. Empty values are left, they show that nothing is set. Comments go: a
// line that was commented out may hold a secret too.
func hideSecrets(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "://") {
		if shown := urlPassword.ReplaceAllString(n.Value, "$1:"+hidden+"@"); shown != n.Value {
			n.SetString(shown)
		}
	}
	for i, c := range n.Content {
		hideSecrets(c)
		if n.Kind == yaml.MappingNode && i%2 == 1 && isSecret(n.Content[i-1].Value) {
			hideScalars(c)
		}
	}
}

// hideScalars hides a value, or each value of a list.
func hideScalars(n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value != "" && n.Tag != "!!null":
		n.SetString(hidden)
		n.Style = 0 // not that of the value, which may be a block of lines
	case n.Kind == yaml.SequenceNode:
		for _, c := range n.Content {
			hideScalars(c)
		}
	}
}
