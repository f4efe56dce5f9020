package ring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	dskit "github.com/grafana/dskit/ring"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What a member doesn't own stays where it is when the member comes or goes, with any number of owners.
func TestOwnersMoveLittle(t *testing.T) {
	now := time.Unix(1000, 0)
	rapid.Check(t, func(t *rapid.T) {
		desc := dskit.NewDesc()
		n := rapid.IntRange(2, 6).Draw(t, "members")
		for i := range n {
			tokens := rapid.SliceOfNDistinct(rapid.Uint32(), 1, 8, rapid.ID[uint32]).Draw(t, "tokens")
			state := rapid.SampledFrom([]dskit.InstanceState{dskit.ACTIVE, dskit.ACTIVE, dskit.ACTIVE, dskit.JOINING, dskit.LEAVING}).Draw(t, "state")
			id := fmt.Sprint("m", i)
			desc.AddIngester(id, id, "", tokens, state, now, false, time.Time{}, nil)
			m := desc.Ingesters[id]
			m.Timestamp = now.Unix() - int64(rapid.SampledFrom([]int{0, 0, 0, 10, 11}).Draw(t, "silent"))
			desc.Ingesters[id] = m
		}
		timeout := 10 * time.Second
		all := newTable(desc, timeout, now)
		for id, m := range desc.Ingesters {
			able := m.State == dskit.ACTIVE && now.Unix()-m.Timestamp <= 10
			require.Equal(t, able, contains(all.members, id))
		}
		gone := fmt.Sprint("m", rapid.IntRange(0, n-1).Draw(t, "gone"))
		delete(desc.Ingesters, gone)
		rest := newTable(desc, timeout, now)
		hash, replication := rapid.Uint32().Draw(t, "hash"), rapid.IntRange(1, 3).Draw(t, "replication")
		before, after := all.owners(hash, replication), rest.owners(hash, replication)
		require.Len(t, before, min(replication, len(all.members)))
		require.Len(t, after, min(replication, len(rest.members)))
		require.Equal(t, append(before, "")[0], all.first(hash))
		kept := before[:0:0]
		for _, m := range before {
			if m != gone {
				kept = append(kept, m)
			}
		}
		require.Equal(t, kept, after[:len(kept)], "those that stay keep their place")
	})
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

func TestShares(t *testing.T) {
	desc := dskit.NewDesc()
	now := time.Unix(1000, 0)
	desc.AddIngester("a", "a", "", []uint32{0, 1 << 31}, dskit.ACTIVE, now, false, time.Time{}, nil)
	desc.AddIngester("b", "b", "", []uint32{1 << 30}, dskit.ACTIVE, now, false, time.Time{}, nil)
	for id, m := range desc.Ingesters {
		m.Timestamp = now.Unix()
		desc.Ingesters[id] = m
	}
	require.Equal(t, map[string]float64{"a": 0.75, "b": 0.25}, newTable(desc, time.Minute, now).shares())
	delete(desc.Ingesters, "a")
	require.Equal(t, map[string]float64{"b": 1}, newTable(desc, time.Minute, now).shares())
}

func TestSeal(t *testing.T) {
	plain := dskit.GetCodec()
	one, err := seal(plain, "the first of the secrets", "test")
	require.NoError(t, err)
	two, err := seal(plain, "the second of the secrets", "test")
	require.NoError(t, err)
	desc := dskit.NewDesc()
	desc.AddIngester("a", "a", "", []uint32{1}, dskit.ACTIVE, time.Unix(5, 0), false, time.Time{}, nil)
	text, err := one.Encode(desc)
	require.NoError(t, err)
	got, err := one.Decode(text)
	require.NoError(t, err)
	require.Equal(t, desc.Ingesters["a"].Tokens, got.(*dskit.Desc).Ingesters["a"].Tokens)
	_, err = two.Decode(text)
	require.ErrorIs(t, err, errSeal)
	open, err := plain.Encode(desc)
	require.NoError(t, err)
	_, err = one.Decode(open)
	require.ErrorIs(t, err, errSeal)
	for i := range text {
		bad := append([]byte(nil), text...)
		bad[i] ^= 1
		_, err = one.Decode(bad)
		require.ErrorIs(t, err, errSeal, "byte %d", i)
	}
	require.NotEqual(t, label("hune", "the first of the secrets"), label("hune", "the second of the secrets"))
}

func FuzzUnseal(f *testing.F) {
	c, err := seal(dskit.GetCodec(), "the secret of this test", "test")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := c.Decode(data); err == nil {
			t.Error("a message that nobody sealed is taken")
		}
	})
}

func TestLogLevels(t *testing.T) {
	var out strings.Builder
	l := kitLogger{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	f := func(want string, pairs ...any) {
		t.Helper()
		out.Reset()
		require.NoError(t, l.Log(pairs...))
		require.Contains(t, out.String(), want)
	}
	f("level=DEBUG msg=joined nodes=2", "level", "info", "ts", 7, "msg", "joined", "nodes", 2)
	f("level=WARN msg=lost err=away", "level", "error", "msg", "lost", "err", errors.New("away"))
	f("level=DEBUG msg=lost", "level", "warn", "msg", "lost", "err", fmt.Errorf("update: %v", context.Canceled))
	f("level=DEBUG msg=cluster", "odd")
}
