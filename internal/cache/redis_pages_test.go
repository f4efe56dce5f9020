package cache

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// Other builds read what this one writes: another format needs another name in the key.
func TestPageFormat(t *testing.T) {
	r := &Redis{cfg: RedisConfig{Prefix: "hune:"}}
	key := r.key(Key{"anonymous/logs/01JB/data", 7})
	require.Equal(t, "hune:page1:16384:anonymous/logs/01JB/data:7", key)
	require.Equal(t, "9e12768887846f6670616765", hex.EncodeToString(appendPage(nil, key, []byte("page"))))
}

func FuzzDecodePage(f *testing.F) {
	f.Add("k", []byte("page"), []byte{})
	f.Add("k", []byte{}, []byte("12345678"))
	f.Fuzz(func(t *testing.T, key string, page, value []byte) {
		if data, ok := decodePage(key, value); ok {
			require.Equal(t, value, appendPage(nil, key, data))
		}
		value = appendPage(nil, key, page)
		data, ok := decodePage(key, value)
		require.Equal(t, len(page) <= PageSize, ok)
		if !ok {
			return
		}
		require.True(t, bytes.Equal(page, data))
		_, ok = decodePage(key+"1", value)
		require.False(t, ok)
		_, ok = decodePage(key, value[:len(value)-1])
		require.False(t, ok)
	})
}
