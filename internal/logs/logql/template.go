package logql

import (
	"errors"
	"slices"
	"text/template"
	"text/template/parse"
	"time"
)

// Bounds of one execution: a template is the user's program.
const (
	maxTemplateOutput = 4 << 20
	maxTemplateTicks  = 100_000 // loop rounds and nested calls
)

var (
	errTemplateOutput = errors.New("template prints more than 4 MiB")
	errTemplateTicks  = errors.New("template loops too long")
)

// lineTemplate is a compiled template. Most templates are texts and fields only; they run without
// package text/template. It is used by one goroutine.
type lineTemplate struct {
	fields []string // labels it reads
	parts  []templatePart
	simple bool

	tmpl  *template.Template
	data  map[string]string
	out   boundedBuffer
	ts    int64
	line  []byte
	ticks int
}

// templatePart is a text, or a label when field is set.
type templatePart struct {
	text  string
	field string
}

const tickFunction = "_tick"

func compileTemplate(name, text string) (*lineTemplate, error) {
	t := &lineTemplate{data: map[string]string{}}
	funcs := t.functions()
	tmpl, err := template.New(name).Option("missingkey=zero").Funcs(funcs).Parse(text)
	if err != nil {
		return nil, err
	}
	t.tmpl = tmpl
	t.simple = tmpl.Tree != nil && t.compileParts(tmpl.Root.Nodes)
	tick, err := template.New("tick").Funcs(funcs).Parse("{{" + tickFunction + "}}")
	if err != nil {
		return nil, err
	}
	w := walker{t: t, tick: tick.Root.Nodes[0]}
	for _, sub := range tmpl.Templates() {
		if sub.Tree == nil {
			continue
		}
		w.list(sub.Root)
		if sub.Name() != name {
			sub.Root.Nodes = slices.Insert(sub.Root.Nodes, 0, w.tick)
		}
	}
	if tmpl.Tree == nil { // an empty text has no tree
		t.simple, t.parts = true, nil
	}
	return t, nil
}

// compileParts fills parts and reports whether nodes are texts and plain fields only.
func (t *lineTemplate) compileParts(nodes []parse.Node) bool {
	for _, n := range nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			t.parts = append(t.parts, templatePart{text: string(n.Text)})
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
				return false
			}
			switch arg := n.Pipe.Cmds[0].Args[0].(type) {
			case *parse.FieldNode:
				if len(arg.Ident) != 1 {
					return false
				}
				t.parts = append(t.parts, templatePart{field: arg.Ident[0]})
			case *parse.IdentifierNode:
				if arg.Ident != lineFunction {
					return false
				}
				t.parts = append(t.parts, templatePart{field: lineFunction})
			default:
				return false
			}
		default:
			return false
		}
	}
	return true
}

// execute runs the template over a row. The result is valid until the next call.
func (t *lineTemplate) execute(ts int64, line []byte, s *labelSet) ([]byte, error) {
	t.out.buf = t.out.buf[:0]
	if t.simple {
		if len(t.parts) == 1 && t.parts[0].field != "" && t.parts[0].field != lineFunction && t.tmpl.Name() == "line" {
			v, _, _ := s.get(t.parts[0].field) // Loki looks for no error there
			t.out.buf = append(t.out.buf, v...)
			return t.out.buf, nil
		}
		for _, p := range t.parts {
			switch p.field {
			case "":
				t.out.buf = append(t.out.buf, p.text...)
			case lineFunction:
				t.out.buf = append(t.out.buf, line...)
			default:
				t.out.buf = append(t.out.buf, templateValue(s, p.field)...)
			}
		}
		return t.out.buf, nil
	}
	fillTemplateData(t.data, s)
	return t.executeData(ts, line, t.data)
}

// executeData is execute over labels that are filled in already.
func (t *lineTemplate) executeData(ts int64, line []byte, data map[string]string) ([]byte, error) {
	t.out.buf = t.out.buf[:0]
	t.ts, t.line, t.ticks = ts, line, 0
	if err := t.tmpl.Execute(&t.out, data); err != nil {
		return nil, err
	}
	return t.out.buf, nil
}

func fillTemplateData(data map[string]string, s *labelSet) {
	clear(data)
	for _, l := range s.base.list {
		data[l.Name] = l.Value
	}
	for i := range s.changes {
		if c := &s.changes[i]; c.deleted {
			delete(data, c.name)
		} else {
			data[c.name] = c.value
		}
	}
	if s.err != "" {
		data[errorLabel] = s.err
	}
	if s.details != "" {
		data[errorDetailsLabel] = s.details
	}
}

func templateValue(s *labelSet, name string) string {
	if name == errorLabel && s.err != "" {
		return s.err
	}
	if name == errorDetailsLabel && s.details != "" {
		return s.details
	}
	v, _, _ := s.get(name)
	return v
}

func (t *lineTemplate) timestamp() time.Time { return time.Unix(0, t.ts).UTC() }

func (t *lineTemplate) tick() (string, error) {
	if t.ticks++; t.ticks > maxTemplateTicks {
		return "", errTemplateTicks
	}
	return "", nil
}

// boundedBuffer is what a template prints into.
type boundedBuffer struct{ buf []byte }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.buf)+len(p) > maxTemplateOutput {
		return 0, errTemplateOutput
	}
	b.buf = append(b.buf, p...)
	return len(p), nil
}

// walker finds the fields that a template reads and makes its loops count.
type walker struct {
	t    *lineTemplate
	tick parse.Node
}

func (w *walker) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		w.node(n)
	}
}

func (w *walker) branch(b *parse.BranchNode) {
	w.node(b.Pipe)
	w.list(b.List)
	w.list(b.ElseList)
}

func (w *walker) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.ActionNode:
		w.node(n.Pipe)
	case *parse.IfNode:
		w.branch(&n.BranchNode)
	case *parse.WithNode:
		w.branch(&n.BranchNode)
	case *parse.RangeNode:
		w.branch(&n.BranchNode)
		n.List.Nodes = slices.Insert(n.List.Nodes, 0, w.tick)
	case *parse.TemplateNode:
		w.node(n.Pipe)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				w.node(a)
			}
		}
	case *parse.ChainNode:
		w.node(n.Node)
	case *parse.FieldNode:
		if len(n.Ident) > 0 && !slices.Contains(w.t.fields, n.Ident[0]) {
			w.t.fields = append(w.t.fields, n.Ident[0])
		}
	}
}
