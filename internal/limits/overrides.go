package limits

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/tenant"
)

// Patch is one tenant's entry of the `overrides:` section: the keys of Limits that differ from the
// defaults. Unknown keys are errors that name the line.
type Patch struct{ node *yaml.Node }

// UnmarshalYAML keeps the entry until the defaults are known, and checks its keys and types now,
// so that errors carry the line in the file.
func (p *Patch) UnmarshalYAML(node *yaml.Node) error {
	if err := checkKeys(node, reflect.TypeFor[Limits](), ""); err != nil {
		return err
	}
	p.node = node
	var probe Limits
	return p.apply(&probe)
}

// MarshalYAML returns the entry as it was written.
func (p Patch) MarshalYAML() (any, error) { return p.node, nil }

func (p Patch) apply(l *Limits) error {
	if p.node == nil {
		return nil
	}
	return p.node.Decode(l)
}

// checkKeys reports the first key of a mapping that no field of t has. yaml.Node.Decode has no
// strict mode, and decoding the text again would lose the line numbers of the whole file.
func checkKeys(node *yaml.Node, t reflect.Type, path string) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		if node.Tag == "!!null" {
			return nil
		}
		return fmt.Errorf("line %d: %s: want a mapping of limits", node.Line, strings.TrimSuffix("limits."+path, "."))
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field, ok := fieldOf(t, key.Value)
		if !ok {
			return fmt.Errorf("line %d: unknown key %q, known here are %s", key.Line, path+key.Value, strings.Join(keysOf(t), ", "))
		}
		switch {
		case field.Type.Kind() == reflect.Struct:
			if err := checkKeys(value, field.Type, path+key.Value+"."); err != nil {
				return err
			}
		case field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct && value.Kind == yaml.SequenceNode:
			for i, item := range value.Content {
				if err := checkKeys(item, field.Type.Elem(), fmt.Sprintf("%s%s.%d.", path, key.Value, i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}

// Overrides knows the limits of every tenant. Safe for concurrent use; what For returns never
// changes, so a caller takes it once per request.
type Overrides struct{ current atomic.Pointer[table] }

type table struct {
	defaults Limits
	tenants  map[string]*Limits
}

// New returns the limits of `limits:` and `overrides:`. Every fault of the configuration is
// reported at once.
func New(defaults Limits, patches map[string]Patch) (*Overrides, error) {
	o := &Overrides{}
	if err := o.Reload(defaults, patches); err != nil {
		return nil, err
	}
	return o, nil
}

// Reload replaces all limits, or none when there is an error.
func (o *Overrides) Reload(defaults Limits, patches map[string]Patch) error {
	var errs []error
	if err := defaults.Validate(); err != nil {
		errs = append(errs, prefix("limits", err)...)
	}
	t := &table{defaults: defaults, tenants: make(map[string]*Limits, len(patches))}
	for id, p := range patches {
		if err := tenant.Validate(id); err != nil {
			errs = append(errs, fmt.Errorf("overrides: %w", err))
			continue
		}
		l := defaults
		if err := p.apply(&l); err != nil {
			errs = append(errs, fmt.Errorf("overrides.%s: %w", id, err))
			continue
		}
		if err := l.Validate(); err != nil {
			errs = append(errs, prefix("overrides."+id, err)...)
			continue
		}
		t.tenants[id] = &l
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(errs...)
	}
	o.current.Store(t)
	return nil
}

func prefix(path string, err error) []error {
	var out []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		out = append(out, fmt.Errorf("%s.%s", path, line))
	}
	return out
}

// Defaults returns the limits of tenants without overrides. They must not be changed.
func (o *Overrides) Defaults() *Limits { return &o.current.Load().defaults }

// For returns the limits of a tenant. They must not be changed.
func (o *Overrides) For(tenant string) *Limits {
	t := o.current.Load()
	if l, ok := t.tenants[tenant]; ok {
		return l
	}
	return &t.defaults
}

// Tenants returns the tenants that have limits of their own, sorted.
func (o *Overrides) Tenants() []string {
	t := o.current.Load()
	ids := make([]string, 0, len(t.tenants))
	for id := range t.tenants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
