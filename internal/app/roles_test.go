package app

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWantedRoles(t *testing.T) {
	var all []string
	for _, r := range roles {
		if !r.inner {
			all = append(all, r.name)
		}
	}
	slices.Sort(all)
	for _, c := range []struct {
		asked, want []string
		err         string
	}{
		{asked: []string{"all"}, want: all},
		{asked: []string{"store", "all"}, want: all},
		{asked: []string{" querier", "ingester ", "querier"}, want: []string{"ingester", "querier"}},
		{asked: []string{"ingestor"}, err: `unknown role "ingestor": the roles are all, s3, store, ingester,`},
		{asked: []string{"all", "limits"}, err: `unknown role "limits"`}, // a part that roles share
		{asked: []string{""}, err: `unknown role ""`},
		{asked: nil, err: "no role to run: the roles are all, s3,"},
	} {
		got, err := wantedRoles(c.asked)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, "%q", c.asked)
			continue
		}
		require.NoError(t, err, "%q", c.asked)
		require.Equal(t, c.want, got, "%q", c.asked)
	}
	_, err := wantedRoles([]string{"no"})
	for _, name := range all {
		require.ErrorContains(t, err, name)
	}
}

// Needs are roles, named once, and can be put in an order.
func TestRolesTable(t *testing.T) {
	needs := map[string][]string{}
	for _, r := range roles {
		require.NotContains(t, needs, r.name, "named twice")
		require.NotNil(t, r.make, r.name)
		needs[r.name] = r.needs
	}
	const visiting, visited = 1, 2
	state := map[string]int{}
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		path = append(path, name)
		require.Contains(t, needs, name, "need that is no role: %v", path)
		require.NotEqual(t, visiting, state[name], "cycle: %v", path)
		if state[name] == visited {
			return
		}
		state[name] = visiting
		for _, n := range needs[name] {
			visit(n, path)
		}
		state[name] = visited
	}
	for _, r := range roles {
		visit(r.name, nil)
	}
}
