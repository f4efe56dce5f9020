package block

import (
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
)

func TestCurrent(t *testing.T) {
	id := func(n byte) (u ulid.ULID) { u[15] = n; return u }
	m := func(n byte, level int, sources ...byte) Meta {
		out := Meta{ULID: id(n), Level: level}
		for _, s := range sources {
			out.Sources = append(out.Sources, id(s))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		metas []Meta
		want  []byte
	}{
		{"nothing", nil, nil},
		{"no compaction", []Meta{m(1, 0), m(2, 0)}, []byte{1, 2}},
		{"inputs that are still there", []Meta{m(1, 0), m(2, 0), m(3, 1, 1, 2), m(4, 0)}, []byte{3, 4}},
		{"inputs that are gone", []Meta{m(3, 1, 1, 2), m(4, 0)}, []byte{3, 4}},
		{"made of what was made", []Meta{m(1, 0), m(3, 1, 1, 2), m(5, 2, 1, 2, 3, 4), m(4, 0)}, []byte{5}},
		{"itself", []Meta{m(1, 1, 1)}, []byte{1}},
		{"each other", []Meta{m(1, 1, 2), m(2, 1, 1)}, []byte{1, 2}},
		{"of a higher level", []Meta{m(1, 3, 2), m(2, 1, 1)}, []byte{1}},
	} {
		var got []byte
		for _, m := range Current(c.metas) {
			got = append(got, m.ULID[15])
		}
		require.Equal(t, c.want, got, c.name)
		require.Len(t, Replaced(c.metas), len(c.metas)-len(c.want), c.name)
	}
}
