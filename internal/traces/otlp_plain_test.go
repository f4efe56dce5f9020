package traces

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzPlainKeyValue wants the short way to say what the way by fields says, wherever it says anything.
func FuzzPlainKeyValue(f *testing.F) {
	for _, a := range []Attribute{
		{Key: "k"}, {Key: "", Str: "v"}, {Key: "k", Str: string(make([]byte, 300))}, {Key: "k", Str: "\xff"},
		{Key: "k", Type: TypeInt, Int: -1}, {Key: "k", Type: TypeInt, Int: 300}, {Key: "k", Type: TypeBool, Int: 1}, {Key: "k", Type: TypeBool},
		{Key: "k", Type: TypeFloat, Float: 1.5}, {Key: "k", Type: TypeIntArray, Array: []Attribute{{Type: TypeInt, Int: 1}}},
	} {
		m := appendAttributes(nil, 1, []Attribute{a})
		c, field := cursor{s: string(m)}, field{}
		require.True(f, c.next(&field))
		f.Add([]byte(field.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got Attribute
		w := walker{limits: Limits{}.orDefault()}
		if !plainKeyValue(string(data), &got) || !w.fits(&got) {
			return
		}
		var want Attribute
		require.NoError(t, w.keyValue(string(data), &want, false))
		require.False(t, w.repaired)
		if want.Type == TypeFloat {
			require.Equal(t, floatBits(want.Float), floatBits(got.Float)) // NaN too
			want.Float, got.Float = 0, 0
		}
		require.Equal(t, want, got)
	})
}
