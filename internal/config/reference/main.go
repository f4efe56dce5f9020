// Command reference writes docs/configuration.md: every key of the configuration with its environment
// variable, type, default and the comment of its field in the code.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/config"
)

const module = "github.com/hune-io/hune/"

func main() {
	text, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
	if _, err := os.Stdout.Write(text); err != nil {
		os.Exit(1)
	}
}

const head = `# Configuration

<!-- Written by "make docs" from the comments in the code: change them there. -->

Hune needs no configuration. What is given in the file of ` + "`hune serve --config FILE`" + ` replaces the defaults below, key by
key. An unknown key is an error that names the line and suggests the key that was meant; ` + "`hune check config FILE`" + ` checks
a file without starting anything.

Every key can also be set by an environment variable: its path in capitals, joined by underscores, with the prefix
` + "`HUNE_`" + `. The value is read as YAML, so lists and whole sections can be given. Flags win over the environment, the
environment wins over the file.

Durations are written as in Prometheus (` + "`15s`, `5m`, `30d`" + `), sizes with binary units (` + "`64MiB`" + `).

| key | environment variable | type | default | meaning |
|---|---|---|---|---|
`

// generate returns the page; root is the root of the repository.
func generate(root string) ([]byte, error) {
	w := &writer{root: root, docs: map[string]map[string]string{}}
	w.buf.WriteString(head)
	if err := w.fields(reflect.ValueOf(config.Default()), nil); err != nil {
		return nil, err
	}
	return w.buf.Bytes(), nil
}

type writer struct {
	root string
	buf  bytes.Buffer
	docs map[string]map[string]string // by directory: Type.Field to comment
}

func (w *writer) fields(v reflect.Value, path []string) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "-" || !f.IsExported() {
			continue
		}
		value := v.Field(i)
		if strings.Contains(opts, "inline") {
			if err := w.fields(value, path); err != nil {
				return err
			}
			continue
		}
		if key == "" {
			key = strings.ToLower(f.Name)
		}
		full := append(path[:len(path):len(path)], key)
		doc, err := w.comment(t, f.Name)
		if err != nil {
			return err
		}
		section := config.IsSection(f.Type)
		kind, def := typeName(f.Type), defaultText(value)
		if section {
			kind, def = "section", ""
		}
		fmt.Fprintf(&w.buf, "| `%s` | `%s` | %s | %s | %s |\n", strings.Join(full, "."), config.EnvName(full), kind, def, doc)
		if section {
			if err := w.fields(value, full); err != nil {
				return err
			}
		}
	}
	return nil
}

// comment returns the comment of a field on one line.
func (w *writer) comment(t reflect.Type, field string) (string, error) {
	dir, ok := strings.CutPrefix(t.PkgPath(), module)
	if !ok {
		return "", nil
	}
	if w.docs[dir] == nil {
		docs, err := readComments(filepath.Join(w.root, dir))
		if err != nil {
			return "", err
		}
		w.docs[dir] = docs
	}
	doc := w.docs[dir][t.Name()+"."+field]
	if doc == "" {
		return "", fmt.Errorf("field %s of %s has no comment", field, t)
	}
	doc = strings.Join(strings.Fields(doc), " ")
	return strings.ReplaceAll(doc, "|", `\|`), nil
}

func readComments(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range st.Fields.List {
				doc := f.Doc.Text()
				if doc == "" {
					doc = f.Comment.Text()
				}
				for _, id := range f.Names {
					out[spec.Name.Name+"."+id.Name] = doc
				}
			}
			return true
		})
	}
	return out, nil
}

func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Name() {
	case "Duration":
		return "duration"
	case "Base2Bytes":
		return "size"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint32, reflect.Int32, reflect.Uint:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "list"
	}
	return "mapping"
}

// defaultText shows a default as YAML on one line.
func defaultText(v reflect.Value) string {
	data, err := yaml.Marshal(v.Interface())
	if err != nil {
		return ""
	}
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil || len(n.Content) == 0 {
		return ""
	}
	flow(n.Content[0])
	if data, err = yaml.Marshal(&n); err != nil {
		return ""
	}
	text := strings.Join(strings.Fields(string(data)), " ")
	if text == "null" || text == `""` {
		return ""
	}
	return "`" + text + "`"
}

func flow(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	for _, c := range n.Content {
		flow(c)
	}
}
