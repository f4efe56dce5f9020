// Package template expands the templates of alerts as Prometheus's package of the same name does, from which it takes
// its functions, but parses each once and not for each alert at each evaluation.
//
// A result is Prometheus's to the last byte, the texts of errors included. Some templates are left
// to that package.
package template

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	texttemplate "text/template"
	"text/template/parse"

	"github.com/prometheus/common/model"
	upstream "github.com/prometheus/prometheus/template"
)

// Template is a text that was parsed. Safe for concurrent use.
type Template struct {
	name, text string
	tree       *parse.Tree // nil: for upstream
	err        error       // of parsing
}

// Scope is what the functions of a template see beside its data.
type Scope struct {
	Context     context.Context
	At          model.Time
	Query       upstream.QueryFunc
	ExternalURL *url.URL
}

// Parse parses a text. What is wrong with it is told when it is expanded.
func Parse(name, text string) *Template {
	t := &Template{name: name, text: text}
	for _, word := range left {
		if strings.Contains(text, word) {
			return t
		}
	}
	parsed, err := texttemplate.New(name).Funcs(names).Parse(text)
	if err != nil {
		t.err = fmt.Errorf("error parsing template %v: %w", name, err)
		return t
	}
	t.tree = parsed.Tree
	return t
}

// left are words that leave a template to Prometheus's package: those that name other templates, and a function
// that takes the tables of a language.
var left = []string{"template", "define", "block", "title"}

// names are the functions, for the parser: it calls none.
var names = (&runner{}).functions()

// Expand executes the template on data.
func (t *Template) Expand(s Scope, data any) (text string, err error) {
	if t.err != nil {
		return "", t.err
	}
	if t.tree == nil {
		return upstream.NewTemplateExpander(s.Context, t.text, t.name, data, s.At, s.Query, s.ExternalURL, nil).Expand()
	}
	r, _ := runners.Get().(*runner)
	defer r.put()
	r.scope = s
	defer func() {
		if p := recover(); p != nil {
			var ok bool
			if err, ok = p.(error); !ok {
				err = fmt.Errorf("panic expanding template %v: %v", t.name, p)
			}
		}
	}()
	// It shares the functions with the root, and is not known to it.
	x := r.root.New(t.name)
	x.Tree = t.tree
	if err := x.Execute(&r.out, data); err != nil {
		return "", fmt.Errorf("error executing template %v: %w", t.name, err)
	}
	return r.out.String(), nil
}

// runner executes one template at a time: its functions look at its scope.
type runner struct {
	scope Scope
	root  *texttemplate.Template
	out   bytes.Buffer
}

var runners = sync.Pool{New: func() any {
	r := &runner{}
	r.root = texttemplate.New("").Funcs(r.functions()).Option("missingkey=zero")
	return r
}}

// maxKept bounds the buffers that are kept.
const maxKept = 64 << 10

func (r *runner) put() {
	r.scope = Scope{}
	if r.out.Cap() > maxKept {
		r.out = bytes.Buffer{}
	}
	r.out.Reset()
	runners.Put(r)
}
