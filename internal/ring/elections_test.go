package ring

import (
	"context"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawElections draws of few of each, so that they meet. All were heard just now.
func drawElections(t *rapid.T, label string) *elections {
	now := time.Now().UnixMilli()
	e := &elections{of: map[Group]Election{}}
	for range rapid.IntRange(0, 4).Draw(t, label) {
		g := Group{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"), rapid.SampledFrom([]string{"eu", "us"}).Draw(t, "name")}
		e.of[g] = Election{Chosen: rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(t, "chosen"), Term: rapid.Uint64Range(1, 3).Draw(t, "term"),
			Since: now - rapid.Int64Range(0, 2).Draw(t, "since"), Heard: now - rapid.Int64Range(0, 2).Draw(t, "heard")}
	}
	return e
}

func merged(t require.TestingT, a, b *elections) *elections {
	out := a.Clone().(*elections)
	change, err := out.Merge(b.Clone(), false)
	require.NoError(t, err)
	if change == nil {
		require.Equal(t, a.of, out.of, "nothing is said to have changed")
		return out
	}
	// Who knew a, and hears of the change alone, knows the same.
	told := a.Clone().(*elections)
	_, err = told.Merge(change.Clone(), false)
	require.NoError(t, err)
	require.Equal(t, out.of, told.of)
	return out
}

func TestElectionsMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawElections(t, "a"), drawElections(t, "b"), drawElections(t, "c")
		ab := merged(t, a, b)
		require.Equal(t, ab.of, merged(t, b, a).of, "commutative")
		require.Equal(t, ab.of, merged(t, ab, b).of, "idempotent")
		require.Equal(t, ab.of, merged(t, ab, ab).of, "idempotent")
		require.Equal(t, merged(t, ab, c).of, merged(t, a, merged(t, b, c)).of, "associative")
	})
}

func TestElectionJoin(t *testing.T) {
	f := func(want, a, b Election) {
		t.Helper()
		require.Equal(t, want, a.Join(b))
		require.Equal(t, want, b.Join(a))
	}
	f(Election{"r2", 2, 5, 5}, Election{"r1", 1, 9, 99}, Election{"r2", 2, 5, 5})  // who knew of the other, whatever the clocks
	f(Election{"r2", 1, 6, 6}, Election{"r1", 1, 5, 99}, Election{"r2", 1, 6, 6})  // two that didn't know of each other: the later
	f(Election{"r2", 1, 5, 6}, Election{"r1", 1, 5, 99}, Election{"r2", 1, 5, 6})  // at the same time: by name
	f(Election{"r1", 1, 5, 99}, Election{"r1", 1, 5, 99}, Election{"r1", 1, 5, 6}) // the same one: heard last
}

func TestElectionsAreForgotten(t *testing.T) {
	now := time.Now()
	old, fresh := now.Add(-ElectionIdle-time.Second).UnixMilli(), now.UnixMilli()
	e := &elections{of: map[Group]Election{{"a", "eu"}: {"r1", 7, old, old}, {"a", "us"}: {"r1", 7, old, fresh}}}
	change, err := e.Merge(&elections{of: map[Group]Election{{"a", "eu"}: {"r2", 1, fresh, fresh}, {"a", "us"}: {"r2", 1, fresh, fresh}}}, true)
	require.NoError(t, err)
	require.Equal(t, []string{"a/eu"}, change.MergeContent(), "the term of one that is forgotten doesn't count")
	require.Equal(t, map[Group]Election{{"a", "eu"}: {"r2", 1, fresh, fresh}, {"a", "us"}: {"r1", 7, old, fresh}}, e.of)
	require.Equal(t, 2, e.forget(fresh+1))
	require.Empty(t, e.of)
}

func TestElectionsCodec(t *testing.T) {
	c := electionsCodec{}
	rapid.Check(t, func(t *rapid.T) {
		e := drawElections(t, "e")
		e.of[Group{rapid.String().Draw(t, "tenant"), rapid.String().Draw(t, "name")}] = Election{Chosen: rapid.String().Draw(t, "chosen"),
			Term: rapid.Uint64().Draw(t, "term"), Since: rapid.Int64().Draw(t, "since"), Heard: rapid.Int64().Draw(t, "heard")}
		data, err := c.Encode(e)
		require.NoError(t, err)
		got, err := c.Decode(data)
		require.NoError(t, err)
		require.Equal(t, e, got)
		for n := range data {
			_, err := c.Decode(data[:n])
			require.ErrorIs(t, err, errElections, "%d of %d bytes", n, len(data))
		}
		_, err = c.Decode(append(data, 0))
		require.ErrorIs(t, err, errElections)
	})
	golden := "\x01\x01\x01a\x02eu\x02r1\x03\x14\x28"
	data, err := c.Encode(&elections{of: map[Group]Election{{"a", "eu"}: {"r1", 3, 10, 20}}})
	require.NoError(t, err)
	require.Equal(t, golden, string(data), "what other versions read")
	_, err = c.Encode("")
	require.Error(t, err)
}

func FuzzElectionsCodec(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x01\x01a\x02eu\x02r1\x03\x14\x28"))
	f.Add([]byte("\x01\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := electionsCodec{}.Decode(data)
		if err != nil {
			require.ErrorIs(t, err, errElections)
			return
		}
		again, err := electionsCodec{}.Encode(got)
		require.NoError(t, err)
		back, err := electionsCodec{}.Decode(again)
		require.NoError(t, err)
		require.Equal(t, got, back)
	})
}

// elector is the elections of a node, and what it learns.
type elector struct {
	*Elections
	learned chan map[Group]Election
}

func startElections(t *testing.T, n *node) *elector {
	e := &elector{n.Elections(), make(chan map[Group]Election, 1000)}
	e.OnLearn(func(all map[Group]Election) { e.learned <- all })
	require.NoError(t, services.StartAndAwaitRunning(context.Background(), e.Elections))
	t.Cleanup(func() { _ = services.StopAndAwaitTerminated(context.Background(), e.Elections) })
	return e
}

// awaits waits until the member has learned that.
func (e *elector) awaits(t *testing.T, want map[Group]Election) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case got := <-e.learned:
			if len(got) == len(want) {
				same := true
				for g := range want {
					same = same && got[g] == want[g]
				}
				if same {
					return
				}
			}
		case <-deadline:
			require.Fail(t, "the member never learned of it")
		}
	}
}

// Members learn of elections, those that two make of the same group come to one, and one that comes later knows them
// from its start.
func TestElectionsAreShared(t *testing.T) {
	t.Parallel()
	ports := freePorts(t, 3)
	secret := func(listen string) Config {
		cfg := testConfig(listen, ports[0])
		cfg.Secret = "the secret of this test"
		return cfg
	}
	a, b := startNode(t, secret(ports[0]), ""), startNode(t, secret(ports[1]), "")
	ea, eb := startElections(t, a), startElections(t, b)
	now := time.Now().UnixMilli()
	eu, us := Group{"t", "eu"}, Group{"t", "us"}

	ea.Tell(eu, Election{"r1", 1, now, now})
	ea.Tell(eu, Election{"r1", 1, now, now + 1})
	want := map[Group]Election{eu: {"r1", 1, now, now + 1}}
	eb.awaits(t, want)

	ea.Tell(us, Election{"r1", 1, now, now})
	eb.Tell(us, Election{"r2", 1, now + 1, now + 1})
	eb.Tell(eu, Election{"r2", 2, now, now})
	want = map[Group]Election{eu: {"r2", 2, now, now}, us: {"r2", 1, now + 1, now + 1}}
	ea.awaits(t, want)
	eb.awaits(t, want)

	c := startNode(t, secret(ports[2]), "")
	startElections(t, c).awaits(t, want)
	require.Nil(t, (*Cluster)(nil).Elections())
}
