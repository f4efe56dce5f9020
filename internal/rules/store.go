package rules

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/thanos-io/objstore"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/signal"
)

// Bounds of what one tenant may store for one signal: about 128 MiB at the very most.
const (
	maxGroups     = 500
	maxRules      = 2000
	maxGroupBytes = 256 << 10
	// maxName bounds the name of a namespace or group as it stands in the bucket, in bytes: file systems
	// allow 255.
	maxName = 240
)

const readers = 16 // groups read from the bucket at once

// What a user sees of something that isn't there, in the words of Loki and Mimir.
var (
	ErrNoGroup     = fault.Errorf(fault.NotFound, "group does not exist")
	ErrNoNamespace = fault.Errorf(fault.NotFound, "group namespace does not exist")
)

// Stored is a group and the namespace that it is in.
type Stored struct {
	Namespace string
	Group     Group
}

// Store reads and writes groups. Safe for concurrent use; several processes may share a bucket, where
// the last writer of a group wins. Errors are classed.
type Store struct {
	bucket   objstore.Bucket
	write    sync.Mutex // so that counting groups and adding one are one step
	onChange func(tenant string)
}

// OnChange has f called after groups of a tenant were written here. It is set before the store is used.
func (s *Store) OnChange(f func(tenant string)) { s.onChange = f }

func (s *Store) changed(tenant string) {
	if s.onChange != nil {
		s.onChange(tenant)
	}
}

// Tenants returns the tenants that have groups, in order.
func (s *Store) Tenants(ctx context.Context) ([]string, error) {
	var out []string
	err := s.bucket.Iter(ctx, "", func(name string) error {
		id, folder := strings.CutSuffix(name, "/")
		if !folder {
			return nil
		}
		found := false
		err := s.bucket.Iter(ctx, path.Join(id, "rules")+"/", func(string) error { found = true; return nil })
		if found {
			out = append(out, id)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tenants that have rules: %w", err)
	}
	slices.Sort(out)
	return out, nil
}

// NewStore returns a store in a bucket.
func NewStore(bucket objstore.Bucket) *Store { return &Store{bucket: bucket} }

const suffix = ".yaml"

func prefix(tenant string, s signal.Signal) string { return path.Join(tenant, "rules", string(s)) }

// objectName returns where a group is kept.
func objectName(tenant string, s signal.Signal, namespace, group string) (string, error) {
	ns, err := escape("namespace", namespace)
	if err != nil {
		return "", err
	}
	g, err := escape("group", group)
	if err != nil {
		return "", err
	}
	return path.Join(prefix(tenant, s), ns, g+suffix), nil
}

// escape makes a name one element of an object's name: what is not a letter, a digit, "-", "_" or, but
// for the first place, "." is %XX.
func escape(what, name string) (string, error) {
	if name == "" {
		return "", fault.Invalidf("the name of the %s is empty", what)
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > maxName {
		return "", fault.Invalidf("the name of the %s is too long: %d bytes where special characters count three, at most %d are allowed", what, b.Len(), maxName)
	}
	return b.String(), nil
}

// unescape undoes escape. What escape doesn't write is an error.
func unescape(s string) (string, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		var c byte
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends in half an escape", s)
		}
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02X", &c); err != nil {
			return "", fmt.Errorf("%q has a bad escape: %w", s, err)
		}
		out = append(out, c)
		i += 2
	}
	if again, err := escape("group", string(out)); err != nil || again != s {
		return "", fmt.Errorf("%q is no name of ours", s)
	}
	return string(out), nil
}

// List returns the groups of a tenant, of one namespace if it isn't empty, by namespace and name. A
// group that can't be read is an error: rules must not vanish quietly.
func (s *Store) List(ctx context.Context, tenant string, sig signal.Signal, namespace string) ([]Stored, error) {
	names, err := s.names(ctx, tenant, sig, namespace)
	if err != nil {
		return nil, err
	}
	found := make([]*Stored, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, name := range names {
		g.Go(func() error {
			group, err := s.read(ctx, name.object)
			if errors.Is(err, ErrNoGroup) {
				return nil // deleted since it was listed
			}
			if err != nil {
				return err
			}
			found[i] = &Stored{name.namespace, *group}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]Stored, 0, len(found))
	for _, f := range found {
		if f != nil {
			out = append(out, *f)
		}
	}
	return out, nil
}

// listed is an object that holds a group.
type listed struct{ namespace, group, object string }

// names lists a tenant's objects, sorted by namespace and group.
func (s *Store) names(ctx context.Context, tenant string, sig signal.Signal, namespace string) ([]listed, error) {
	root := prefix(tenant, sig) + "/"
	under := root
	if namespace != "" {
		ns, err := escape("namespace", namespace)
		if err != nil {
			return nil, err
		}
		under += ns + "/"
	}
	var out []listed
	err := s.bucket.Iter(ctx, under, func(object string) error {
		ns, group, ok := strings.Cut(strings.TrimPrefix(object, root), "/")
		group, yaml := strings.CutSuffix(group, suffix)
		if !ok || !yaml {
			return nil // not ours
		}
		var l listed
		var errNamespace, errGroup error
		l.namespace, errNamespace = unescape(ns)
		l.group, errGroup = unescape(group)
		if errNamespace != nil || errGroup != nil {
			return nil
		}
		l.object = object
		out = append(out, l)
		return nil
	}, objstore.WithRecursiveIter())
	if err != nil {
		return nil, fmt.Errorf("list rule groups under %s: %w", under, err)
	}
	slices.SortFunc(out, func(a, b listed) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.group, b.group))
	})
	return out, nil
}

// Get returns a group, or ErrNoGroup.
func (s *Store) Get(ctx context.Context, tenant string, sig signal.Signal, namespace, group string) (Group, error) {
	name, err := objectName(tenant, sig, namespace, group)
	if err != nil {
		return Group{}, err
	}
	g, err := s.read(ctx, name)
	if err != nil {
		return Group{}, err
	}
	return *g, nil
}

func (s *Store) read(ctx context.Context, object string) (*Group, error) {
	var reader objstore.BucketReader = s.bucket
	if i, ok := s.bucket.(objstore.InstrumentedBucketReader); ok {
		reader = i.ReaderWithExpectedErrs(s.bucket.IsObjNotFoundErr)
	}
	rc, err := reader.Get(ctx, object)
	if err != nil {
		if s.bucket.IsObjNotFoundErr(err) {
			return nil, ErrNoGroup
		}
		return nil, fmt.Errorf("read rule group %s: %w", object, err)
	}
	content, err := io.ReadAll(io.LimitReader(rc, maxGroupBytes+1))
	if err = errors.Join(err, rc.Close()); err != nil {
		return nil, fmt.Errorf("read rule group %s: %w", object, err)
	}
	g, err := Decode(content)
	if err != nil {
		return nil, fmt.Errorf("read rule group %s: %w", object, err)
	}
	return g, nil
}

// Decode reads a group from YAML. Unknown keys are errors.
func Decode(content []byte) (*Group, error) {
	if len(content) > maxGroupBytes {
		return nil, fault.Errorf(fault.TooLarge, "the rule group is larger than %d bytes", maxGroupBytes)
	}
	g := &Group{}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(g); err != nil {
		return nil, err
	}
	if err := d.Decode(&struct{}{}); err != io.EOF {
		return nil, errors.New("more than one YAML document")
	}
	return g, nil
}

// Put adds a group or replaces the one of its name, in one step. The group must have passed Validate.
func (s *Store) Put(ctx context.Context, tenant string, sig signal.Signal, namespace string, g Group) error {
	name, err := objectName(tenant, sig, namespace, g.Name)
	if err != nil {
		return err
	}
	if n := len(g.Rules); n > maxRules {
		return fault.Invalidf("per-user rules per rule group limit (limit: %d actual: %d) exceeded", maxRules, n)
	}
	content, err := yaml.Marshal(g)
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	if len(content) > maxGroupBytes {
		return fault.Errorf(fault.TooLarge, "the rule group is larger than %d bytes", maxGroupBytes)
	}
	s.write.Lock()
	defer s.write.Unlock()
	there, err := s.names(ctx, tenant, sig, "")
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(there, func(l listed) bool { return l.object == name })
	if n := len(there) + 1; !known && n > maxGroups {
		return fault.Invalidf("per-user rule groups limit (limit: %d actual: %d) exceeded", maxGroups, n)
	}
	if err := s.bucket.Upload(ctx, name, bytes.NewReader(content)); err != nil {
		return fmt.Errorf("write rule group %s: %w", name, err)
	}
	s.changed(tenant)
	return nil
}

// Delete removes a group; ErrNoGroup if there is none.
func (s *Store) Delete(ctx context.Context, tenant string, sig signal.Signal, namespace, group string) error {
	name, err := objectName(tenant, sig, namespace, group)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	// Object stores delete what isn't there without a word.
	ok, err := s.bucket.Exists(ctx, name)
	if err != nil {
		return fmt.Errorf("look for rule group %s: %w", name, err)
	}
	if !ok {
		return ErrNoGroup
	}
	defer s.changed(tenant)
	return s.remove(ctx, name)
}

// DeleteNamespace removes all groups of a namespace; ErrNoNamespace if there is none.
func (s *Store) DeleteNamespace(ctx context.Context, tenant string, sig signal.Signal, namespace string) error {
	if namespace == "" {
		return ErrNoNamespace
	}
	s.write.Lock()
	defer s.write.Unlock()
	there, err := s.names(ctx, tenant, sig, namespace)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return ErrNoNamespace
	}
	defer s.changed(tenant)
	for _, l := range there {
		if err := s.remove(ctx, l.object); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) remove(ctx context.Context, object string) error {
	if err := s.bucket.Delete(ctx, object); err != nil && !s.bucket.IsObjNotFoundErr(err) {
		return fmt.Errorf("delete rule group %s: %w", object, err)
	}
	return nil
}
