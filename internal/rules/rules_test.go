package rules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/signal"
)

func group(name string, exprs ...string) Group {
	g := Group{Name: name}
	for i, e := range exprs {
		g.Rules = append(g.Rules, Rule{Alert: fmt.Sprint("a", i), Expr: e})
	}
	return g
}

func TestStore(t *testing.T) {
	ctx := t.Context()
	bkt := objstore.NewInMemBucket()
	s := NewStore(bkt)
	require.NoError(t, s.Put(ctx, "acme", signal.Logs, "ns/../1", group("b", "x")))
	require.NoError(t, s.Put(ctx, "acme", signal.Logs, "ns/../1", group("a é/%", "y")))
	require.NoError(t, s.Put(ctx, "acme", signal.Logs, "..", group(".", "z")))
	require.NoError(t, s.Put(ctx, "acme", signal.Metrics, "..", group(".", "metrics")))
	require.NoError(t, s.Put(ctx, "other", signal.Logs, "ns", group("o", "other")))
	for name := range bkt.Objects() {
		for element := range strings.SplitSeq(name, "/") {
			require.NotContains(t, []string{"", ".", ".."}, element, name)
		}
	}

	all, err := s.List(ctx, "acme", signal.Logs, "")
	require.NoError(t, err)
	require.Equal(t, []Stored{{"..", group(".", "z")}, {"ns/../1", group("a é/%", "y")}, {"ns/../1", group("b", "x")}}, all)
	one, err := s.List(ctx, "acme", signal.Logs, "ns/../1")
	require.NoError(t, err)
	require.Equal(t, all[1:], one)
	none, err := s.List(ctx, "acme", signal.Logs, "ns")
	require.NoError(t, err)
	require.Empty(t, none)

	require.NoError(t, s.Put(ctx, "acme", signal.Logs, "ns/../1", group("b", "new", "two")))
	g, err := s.Get(ctx, "acme", signal.Logs, "ns/../1", "b")
	require.NoError(t, err)
	require.Equal(t, group("b", "new", "two"), g)
	_, err = s.Get(ctx, "acme", signal.Logs, "ns/../1", "c")
	require.ErrorIs(t, err, ErrNoGroup)
	require.Equal(t, fault.NotFound, fault.ClassOf(err))

	require.ErrorIs(t, s.Delete(ctx, "acme", signal.Logs, "ns", "b"), ErrNoGroup)
	require.NoError(t, s.Delete(ctx, "acme", signal.Logs, "ns/../1", "b"))
	require.ErrorIs(t, s.Delete(ctx, "acme", signal.Logs, "ns/../1", "b"), ErrNoGroup)
	require.ErrorIs(t, s.DeleteNamespace(ctx, "acme", signal.Logs, "ns"), ErrNoNamespace)
	require.ErrorIs(t, s.DeleteNamespace(ctx, "acme", signal.Logs, ""), ErrNoNamespace)
	require.NoError(t, s.DeleteNamespace(ctx, "acme", signal.Logs, "ns/../1"))
	all, err = s.List(ctx, "acme", signal.Logs, "")
	require.NoError(t, err)
	require.Equal(t, []Stored{{"..", group(".", "z")}}, all)
	all, err = s.List(ctx, "other", signal.Logs, "")
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestStoreBounds(t *testing.T) {
	ctx := t.Context()
	s := NewStore(objstore.NewInMemBucket())
	for i := range maxGroups {
		require.NoError(t, s.Put(ctx, "acme", signal.Logs, fmt.Sprint("ns", i%7), group(fmt.Sprint("g", i), "x")))
	}
	require.EqualError(t, s.Put(ctx, "acme", signal.Logs, "ns", group("more", "x")), "per-user rule groups limit (limit: 500 actual: 501) exceeded")
	require.NoError(t, s.Put(ctx, "acme", signal.Logs, "ns0", group("g0", "replaced")))
	require.NoError(t, s.Put(ctx, "acme", signal.Metrics, "ns", group("more", "x")))
	require.EqualError(t, s.Put(ctx, "other", signal.Logs, "ns", Group{Name: "g", Rules: make([]Rule, maxRules+1)}),
		"per-user rules per rule group limit (limit: 2000 actual: 2001) exceeded")
	err := s.Put(ctx, "other", signal.Logs, "ns", group("g", strings.Repeat("x", maxGroupBytes)))
	require.Equal(t, fault.TooLarge, fault.ClassOf(err), err)
	for _, name := range []string{"", strings.Repeat("é", 41), strings.Repeat("x", maxName+1)} {
		require.Equal(t, fault.Invalid, fault.ClassOf(s.Put(ctx, "other", signal.Logs, "ns", group(name, "x"))), name)
		require.Equal(t, fault.Invalid, fault.ClassOf(s.Put(ctx, "other", signal.Logs, name, group("g", "x"))), name)
	}
}

// Writers of many groups at once don't get past the bound on their number, and lose none.
func TestStoreTogether(t *testing.T) {
	s := NewStore(objstore.NewInMemBucket())
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored := 0
	for i := range maxGroups + 20 {
		wg.Go(func() {
			if s.Put(t.Context(), "acme", signal.Logs, "ns", group(fmt.Sprint(i), "x")) == nil {
				mu.Lock()
				stored++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	all, err := s.List(t.Context(), "acme", signal.Logs, "")
	require.NoError(t, err)
	require.Len(t, all, maxGroups)
	require.Equal(t, maxGroups, stored)
}

// What is not ours is no group; what is ours and damaged is an error.
func TestStoreForeignObjects(t *testing.T) {
	ctx := t.Context()
	bkt := objstore.NewInMemBucket()
	s := NewStore(bkt)
	require.NoError(t, s.Put(ctx, "acme", signal.Logs, "ns", group("g", "x")))
	for _, name := range []string{"readme.txt", "ns/g.json", "ns/deep/g.yaml", "n%2/g.yaml", "ns/%67.yaml", "ns/%zz.yaml"} {
		require.NoError(t, bkt.Upload(ctx, "acme/rules/logs/"+name, strings.NewReader("{")))
	}
	all, err := s.List(ctx, "acme", signal.Logs, "")
	require.NoError(t, err)
	require.Len(t, all, 1)
	for _, content := range []string{"name: [", "name: x\nfuture: 1\n", "name: x\n---\nname: y\n", strings.Repeat("#", maxGroupBytes+1)} {
		require.NoError(t, bkt.Upload(ctx, "acme/rules/logs/ns/bad.yaml", bytes.NewReader([]byte(content))))
		_, err = s.List(ctx, "acme", signal.Logs, "")
		require.ErrorContains(t, err, "acme/rules/logs/ns/bad.yaml")
	}
}

// brokenBucket fails every operation.
type brokenBucket struct{ objstore.Bucket }

var errBroken = errors.New("disk on fire")

func (brokenBucket) Iter(context.Context, string, func(string) error, ...objstore.IterOption) error {
	return errBroken
}
func (brokenBucket) Exists(context.Context, string) (bool, error) { return false, errBroken }

func TestStoreNamesWhatFails(t *testing.T) {
	s := NewStore(brokenBucket{objstore.NewInMemBucket()})
	_, err := s.List(t.Context(), "acme", signal.Logs, "")
	require.ErrorIs(t, err, errBroken)
	require.ErrorContains(t, err, "acme/rules/logs/")
	require.ErrorIs(t, s.Put(t.Context(), "acme", signal.Logs, "ns", group("g", "x")), errBroken)
	require.ErrorIs(t, s.Delete(t.Context(), "acme", signal.Logs, "ns", "g"), errBroken)
	require.ErrorIs(t, s.DeleteNamespace(t.Context(), "acme", signal.Logs, "ns"), errBroken)
}

func TestNamesSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringN(1, 20, 80), rapid.SampledFrom([]string{".", "..", "%", "a/b", "%2F", "\x00", "\xff"})).Draw(t, "name")
		e, err := escape("group", name)
		require.NoError(t, err)
		require.NotContains(t, e, "/")
		require.NotContains(t, []string{".", ".."}, e)
		back, err := unescape(e)
		require.NoError(t, err)
		require.Equal(t, name, back)
	})
}

func TestValidate(t *testing.T) {
	check := func(expr string) error {
		if expr == "bad" {
			return errors.New("parse error at line 1")
		}
		return nil
	}
	label := func(k, v string) map[string]string { return map[string]string{k: v} }
	for _, c := range []struct {
		group Group
		want  string // one fault a line
	}{
		{Group{Name: "g", Limit: 3, Labels: label("a", "b"), Rules: []Rule{{Record: "a:b", Expr: "x", Labels: label("a", "{{")},
			{Alert: "A b", Expr: "x", For: 5, KeepFiringFor: 5, Labels: label("a", "{{ $labels.x }}"), Annotations: label("b", `{{ $value | humanize }} {{ $externalURL }}`)}}}, ""},
		{Group{}, "group 0: Groupname must not be empty"},
		{Group{Name: "g", Interval: -1, Limit: -1}, "group 'g': interval must not be negative\ngroup 'g': limit must not be negative"},
		{Group{Name: "g", Labels: label("0", "b")}, "invalid label name: 0"},
		{Group{Name: "g", Rules: []Rule{{Record: "a", Alert: "b"}, {Expr: "x"}, {Alert: "b"}}},
			"only one of 'record' and 'alert' must be set\none of 'record' or 'alert' must be set\nfield 'expr' must be set in rule"},
		{Group{Name: "g", Rules: []Rule{{Record: "r", Expr: "bad"}, {Alert: "a", Expr: "bad"}}},
			"could not parse expression for record 'r' in group 'g': parse error at line 1\ncould not parse expression for alert 'a' in group 'g': parse error at line 1"},
		{Group{Name: "g", Rules: []Rule{{Record: "r", Expr: "x", Annotations: label("a", "b")}, {Record: "r", Expr: "x", For: 1}, {Record: "r-s", Expr: "x"}}},
			"invalid field 'annotations' in recording rule\ninvalid field 'for' in recording rule\ninvalid recording rule name: r-s"},
		{Group{Name: "g", Rules: []Rule{{Alert: "a", Expr: "x", Labels: label("__name__", "b")}, {Alert: "a", Expr: "x", Annotations: label("é", "b")}, {Alert: "a", Expr: "x", Labels: label("b", "\xff")}}},
			"invalid label name: __name__\ninvalid annotation name: é\ninvalid label value: \xff"},
		{Group{Name: "g", Rules: []Rule{{Alert: "a", Expr: "x", Annotations: label("b", "{{ nope }}")}}},
			`annotation "b": template: __alert_a:1: function "nope" not defined`},
	} {
		require.Equal(t, c.want, joined(c.group.Validate(check)))
	}
}

func joined(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "\n")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: g\ninterval: 1m\nquery_offset: 30s\nrules:\n- alert: A\n  expr: x\n  for: 5m\n  labels: {a: b}\n"))
	f.Add([]byte("rules: &a [*a]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		g, err := Decode(content)
		if err != nil {
			return
		}
		g.Validate(func(string) error { return nil })
	})
}
