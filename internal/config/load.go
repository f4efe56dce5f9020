package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// EnvPrefix starts the name of every environment variable that sets a key: the key's path in
// capitals, joined by underscores. HUNE_WAL_SYNC sets wal.sync. Its value is read as YAML.
const EnvPrefix = "HUNE_"

// Load reads a configuration: defaults, then the file at path (none if empty), then environ
// (as os.Environ gives it). Every fault is reported at once, each with its place.
func Load(path string, environ []string) (Config, error) {
	var data []byte
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
	}
	return Parse(data, path, environ)
}

// Parse is Load on the file's content; name stands for it in errors.
func Parse(data []byte, name string, environ []string) (Config, error) {
	cfg := Default()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return cfg, fmt.Errorf("%s: %w", name, err)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if len(doc.Content) == 1 && doc.Content[0].Tag != "!!null" {
		root = doc.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return cfg, fmt.Errorf("%s:%d: the configuration must be a mapping of keys", name, root.Line)
	}
	if err := unknownKeys(name, root, reflect.TypeOf(cfg), ""); err != nil {
		return cfg, err
	}
	if err := applyEnv(root, environ); err != nil {
		return cfg, err
	}
	if err := root.Decode(&cfg); err != nil {
		return cfg, located(name, err)
	}
	if err := cfg.Validate(); err != nil {
		if name == "" {
			return cfg, err
		}
		return cfg, fmt.Errorf("%s: %w", name, err)
	}
	return cfg, nil
}

// located puts the file's name before the lines that the YAML library reports.
func located(name string, err error) error {
	var te *yaml.TypeError
	if name == "" {
		return err
	}
	if !errors.As(err, &te) {
		return fmt.Errorf("%s: %w", name, err)
	}
	lines := make([]string, len(te.Errors))
	for i, e := range te.Errors {
		lines[i] = name + ":" + strings.TrimPrefix(e, "line ")
	}
	return errors.New(strings.Join(lines, "\n"))
}

// unknownKeys walks the document along the type and reports keys that the type has not.
func unknownKeys(name string, n *yaml.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.AliasNode:
		return unknownKeys(name, n.Alias, t, path)
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		var errs []error
		for i, item := range n.Content {
			errs = append(errs, unknownKeys(name, item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)))
		}
		return errors.Join(errs...)
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		var errs []error
		for i := 0; i+1 < len(n.Content); i += 2 {
			errs = append(errs, unknownKeys(name, n.Content[i+1], t.Elem(), join(path, n.Content[i].Value)))
		}
		return errors.Join(errs...)
	case n.Kind != yaml.MappingNode || t.Kind() != reflect.Struct || opaque(t):
		return nil
	}
	fields := keysOf(t)
	var errs []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Value == "<<" {
			continue
		}
		if ft, ok := fields[k.Value]; ok {
			errs = append(errs, unknownKeys(name, n.Content[i+1], ft, join(path, k.Value)))
			continue
		}
		errs = append(errs, fmt.Errorf("%s:%d: unknown key %q%s", name, k.Line, join(path, k.Value), suggestion(k.Value, path, fields)))
	}
	return errors.Join(errs...)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// opaque reports whether a type reads its own YAML: its keys are its business.
func opaque(t reflect.Type) bool {
	u := reflect.TypeFor[yaml.Unmarshaler]()
	old := reflect.TypeFor[interface{ UnmarshalYAML(func(any) error) error }]()
	text := reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
	p := reflect.PointerTo(t)
	return p.Implements(u) || p.Implements(old) || p.Implements(text) || t == reflect.TypeFor[yaml.Node]()
}

// keysOf returns the YAML keys of a struct, those of inlined structs included.
func keysOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if len(f.Index) > 1 || !f.IsExported() {
			continue
		}
		key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case key == "-":
		case strings.Contains(opts, "inline"):
			ft := f.Type
			for ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			for k, v := range keysOf(ft) {
				out[k] = v
			}
		case key == "":
			out[strings.ToLower(f.Name)] = f.Type
		default:
			out[key] = f.Type
		}
	}
	return out
}

func suggestion(key, path string, fields map[string]reflect.Type) string {
	names := make([]string, 0, len(fields))
	for k := range fields {
		names = append(names, k)
	}
	sort.Strings(names)
	best, bestAt := "", len(key)/2+2
	for _, n := range names {
		if d := distance(key, n); d < bestAt {
			best, bestAt = n, d
		}
	}
	if best == "" {
		return fmt.Sprintf(" (known here: %s)", strings.Join(names, ", "))
	}
	return fmt.Sprintf(", did you mean %q?", join(path, best))
}

// distance is the Levenshtein distance of two keys.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// applyEnv sets the keys that environment variables name in the document.
func applyEnv(root *yaml.Node, environ []string) error {
	paths := paths()
	var errs []error
	// Sorted, so that a section given whole is set before a key inside it.
	environ = slices.Sorted(slices.Values(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		path, ok := paths[name]
		if !ok {
			continue
		}
		var v yaml.Node
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
			continue
		}
		if len(v.Content) == 0 {
			continue
		}
		node := v.Content[0]
		clearLines(node)
		if err := unknownKeys("environment variable "+name, node, typeAt(path), strings.Join(path, ".")); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := node.Decode(reflect.New(typeAt(path)).Interface()); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
			continue
		}
		set(root, path, node)
	}
	return errors.Join(errs...)
}

func clearLines(n *yaml.Node) {
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		clearLines(c)
	}
}

// EnvName returns the environment variable that sets the key at path.
func EnvName(path []string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(strings.Join(path, "_"), "-", "_"))
}

// paths returns the path of the key that each environment variable sets.
func paths() map[string][]string {
	out := map[string][]string{}
	collect(reflect.TypeFor[Config](), nil, out)
	return out
}

// collect lists the variables of every key below t, sections included.
func collect(t reflect.Type, path []string, out map[string][]string) {
	if len(path) > 0 {
		out[EnvName(path)] = path
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !IsSection(t) {
		return
	}
	for k, ft := range keysOf(t) {
		collect(ft, append(slices.Clone(path), k), out)
	}
}

func typeAt(path []string) reflect.Type {
	t := reflect.TypeFor[Config]()
	for _, k := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		t = keysOf(t)[k]
	}
	return t
}

// set puts v at path, making the mappings on the way.
func set(n *yaml.Node, path []string, v *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != path[0] {
			continue
		}
		child := n.Content[i+1]
		if len(path) == 1 || child.Kind != yaml.MappingNode {
			n.Content[i+1] = wrapNode(path[1:], v)
			return
		}
		set(child, path[1:], v)
		return
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: path[0]}, wrapNode(path[1:], v))
}

func wrapNode(path []string, v *yaml.Node) *yaml.Node {
	for i := len(path) - 1; i >= 0; i-- {
		v = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: path[i]}, v}}
	}
	return v
}

// IsSection reports whether a key of this type holds further keys of ours.
func IsSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !opaque(t) && strings.HasPrefix(t.PkgPath(), "github.com/hune-io/hune/")
}
