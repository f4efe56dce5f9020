package ring

import (
	"context"
	"errors"
	"testing"

	"github.com/grafana/dskit/kv"
	dskit "github.com/grafana/dskit/ring"
	"github.com/stretchr/testify/require"
)

// written is a store that keeps what was last to be written.
type written struct {
	kv.Client
	ring any
	out  any
}

func (w *written) CAS(_ context.Context, _ string, f func(any) (any, bool, error)) (err error) {
	w.out, _, err = f(w.ring)
	return err
}

func TestWritesThatChangeNothingAreLeftOut(t *testing.T) {
	const now = 1_700_000_000
	ring := func() *dskit.Desc {
		d := dskit.NewDesc()
		d.Ingesters["self"] = dskit.InstanceDesc{Addr: "self", Timestamp: now, State: dskit.JOINING, Tokens: []uint32{1, 2}}
		d.Ingesters["other"] = dskit.InstanceDesc{Addr: "other", Timestamp: now, State: dskit.ACTIVE, Tokens: []uint32{3}}
		return d
	}
	beat := func(change func(m *dskit.InstanceDesc)) func(any) (any, bool, error) {
		return func(in any) (any, bool, error) {
			d := dskit.GetOrCreateRingDesc(in)
			m := d.Ingesters["self"]
			change(&m)
			d.Ingesters["self"] = m
			return d, true, nil
		}
	}
	for _, c := range []struct {
		name  string
		in    any
		f     func(any) (any, bool, error)
		wrote bool
	}{
		{"a heartbeat in the same second", ring(), beat(func(m *dskit.InstanceDesc) { m.Timestamp = now }), false},
		{"a heartbeat a second later", ring(), beat(func(m *dskit.InstanceDesc) { m.Timestamp = now + 1 }), true},
		{"a change of state in the same second", ring(), beat(func(m *dskit.InstanceDesc) { m.State = dskit.ACTIVE }), true},
		{"other tokens", ring(), beat(func(m *dskit.InstanceDesc) { m.Tokens = []uint32{1, 2, 4} }), true},
		{"a heartbeat that forgets another", ring(), func(in any) (any, bool, error) {
			d := dskit.GetOrCreateRingDesc(in)
			delete(d.Ingesters, "other")
			return d, true, nil
		}, true},
		{"one that leaves", ring(), func(in any) (any, bool, error) {
			d := dskit.GetOrCreateRingDesc(in)
			d.RemoveIngester("self")
			return d, true, nil
		}, true},
		{"the first of a ring", nil, beat(func(m *dskit.InstanceDesc) { m.Timestamp = now }), true},
		{"a new member", dskit.NewDesc(), beat(func(m *dskit.InstanceDesc) { m.Timestamp = now }), true},
		{"nothing to write", ring(), func(any) (any, bool, error) { return nil, false, nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &written{ring: c.in}
			require.NoError(t, client{w, "self"}.CAS(t.Context(), "k", c.f))
			require.Equal(t, c.wrote, w.out != nil)
		})
	}
	fails := errors.New("no")
	err := client{&written{ring: ring()}, "self"}.CAS(t.Context(), "k", func(any) (any, bool, error) { return nil, false, fails })
	require.ErrorIs(t, err, fails)
}
