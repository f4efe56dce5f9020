package distributor

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hune-io/hune/internal/ring"
)

// gossip is what distributors tell each other, without a network: what one tells all hear at once, but for those that
// are on the other side of a partition, who hear it when that heals.
type gossip struct {
	members []*teller
	told    int
}

// teller is one distributor and what it knows of the elections.
type teller struct {
	*fixture
	gossip *gossip
	side   int
	known  map[ring.Group]ring.Election
	queue  map[ring.Group]ring.Election // told, and not on its way yet: Tell doesn't call back
}

func (m *teller) Tell(g ring.Group, e ring.Election) {
	m.gossip.told++
	m.queue[g] = e
}

func newGossip(t testing.TB, n int) *gossip {
	g := &gossip{}
	for range n {
		m := &teller{gossip: g, known: map[ring.Group]ring.Election{}, queue: map[ring.Group]ring.Election{}}
		m.fixture = newFixture(t, acceptHA)
		m.ha.shared = m
		g.members = append(g.members, m)
	}
	return g
}

// hear has m take over what is said.
func (m *teller) hear(said map[ring.Group]ring.Election) {
	for key, e := range said {
		m.known[key] = e.Join(m.known[key])
	}
	m.LearnElections(maps.Clone(m.known))
}

// settle delivers everything within each side.
func (g *gossip) settle() {
	for _, m := range g.members {
		said := maps.Clone(m.queue)
		clear(m.queue)
		for _, other := range g.members {
			if other.side == m.side {
				other.hear(said)
			}
		}
	}
}

// heal ends a partition: each hears all that the others know.
func (g *gossip) heal() {
	g.settle()
	for _, m := range g.members {
		m.side = 0
		for _, other := range g.members {
			m.hear(other.known)
		}
	}
}

func (g *gossip) at(now time.Time) {
	for _, m := range g.members {
		m.now = now
	}
}

// elected is the one replica that all members of a side have elected.
func (g *gossip) elected(t require.TestingT, side int) (out HAElection) {
	for _, m := range g.members {
		if m.side != side {
			continue
		}
		got := m.HAElections()
		require.Len(t, got, 1)
		if out.Replica != "" {
			require.Equal(t, out.Replica, got[0].Replica, "members disagree")
			require.Equal(t, out.Since.UnixMilli(), got[0].Since.UnixMilli())
		}
		out = got[0]
	}
	return out
}

// Both servers of a pair write to both members.
func TestHAPairAtTwoMembers(t *testing.T) {
	g := newGossip(t, 2)
	a, b := g.members[0], g.members[1]
	send := func(m *teller, replica string) bool {
		defer g.settle()
		return m.send(t, "a", "eu", replica)
	}
	require.True(t, send(a, "r1"))
	require.False(t, send(b, "r2"), "the other member has elected r1")
	require.True(t, send(b, "r1"))

	// r1 writes to a alone, r2 to b alone.
	start := now
	for i := range 20 {
		g.at(start.Add(time.Duration(i) * 5 * time.Second))
		require.True(t, send(a, "r1"))
		require.False(t, send(b, "r2"), "b knows that r1 is alive at a")
	}
	quiet := a.now
	g.at(quiet.Add(25 * time.Second))
	require.False(t, send(b, "r2"))
	g.at(quiet.Add(30 * time.Second))
	require.True(t, send(b, "r2"), "r1 has been silent for the failover timeout")
	require.False(t, send(a, "r1"), "a has heard of it")
	require.True(t, send(a, "r2"))
	require.Equal(t, "r2", g.elected(t, 0).Replica)
	require.Equal(t, 2.0, testutil.ToFloat64(a.ha.elections.WithLabelValues("a", "eu")), "elections as a has seen them")
	require.Equal(t, 2.0, testutil.ToFloat64(b.ha.elections.WithLabelValues("a", "eu")))
}

// A member that starts knows the elections before it hears any server.
func TestHAMemberThatComesLater(t *testing.T) {
	g := newGossip(t, 2)
	a, b := g.members[0], g.members[1]
	b.side = 1
	require.True(t, a.send(t, "a", "eu", "r1"))
	g.heal()
	require.False(t, b.send(t, "a", "eu", "r2"))
	require.Equal(t, "r1", g.elected(t, 0).Replica)
}

// Two that couldn't hear of each other elect on their own, and come to one afterwards: the side that elected more often.
func TestHAPartition(t *testing.T) {
	g := newGossip(t, 3)
	a, b := g.members[0], g.members[2]
	require.True(t, a.send(t, "a", "eu", "r1"))
	g.settle()
	b.side = 1
	for i := 1; i <= 8; i++ {
		g.at(now.Add(time.Duration(i) * 10 * time.Second))
		require.True(t, a.send(t, "a", "eu", "r1"))
		require.Equal(t, i >= 3, b.send(t, "a", "eu", "r2"), "b doesn't hear r1")
		g.settle()
	}
	require.Equal(t, "r1", g.elected(t, 0).Replica)
	require.Equal(t, "r2", g.elected(t, 1).Replica)
	g.heal()
	require.Equal(t, "r2", g.elected(t, 0).Replica)
	require.False(t, a.send(t, "a", "eu", "r1"))
}

// Others are told of an election at once, and then only as often as they need to know that its replica is alive.
func TestHATellsSeldom(t *testing.T) {
	g := newGossip(t, 2)
	for i := range 300 {
		g.at(now.Add(time.Duration(i) * 100 * time.Millisecond))
		for _, m := range g.members {
			require.True(t, m.send(t, "a", "eu", "r1"))
			g.settle()
		}
	}
	require.Equal(t, 6, g.told, "in 30 seconds, by both together")
}

// What is forgotten is not taken over again from what others still tell of it, and a new election holds.
func TestHAForgottenElections(t *testing.T) {
	g := newGossip(t, 2)
	a := g.members[0]
	require.True(t, a.send(t, "a", "eu", "r1"))
	g.settle()
	g.at(now.Add(haIdle))
	require.Empty(t, a.HAElections())
	a.hear(nil)
	require.Empty(t, a.HAElections())
	require.Empty(t, a.ha.counts)
	require.True(t, g.members[1].send(t, "a", "eu", "r2"))
	g.settle()
	require.Equal(t, "r2", g.elected(t, 0).Replica)
}

// Whatever servers and members do: when all has been told, the members of a side agree; and while they hear of each
// other, no two replicas are stored within a failover timeout, less what is told late.
func TestHAMembersElectOne(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		g := newGossip(outer, rapid.IntRange(2, 4).Draw(t, "members"))
		stored := map[string]time.Time{}
		at, whole := now, true
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 14).Draw(t, "seconds")) * time.Second)
			g.at(at)
			switch rapid.IntRange(0, 19).Draw(t, "event") {
			case 0:
				for _, m := range g.members {
					m.side = rapid.IntRange(0, 1).Draw(t, "side")
					whole = whole && m.side == g.members[0].side
				}
			case 1:
				g.heal()
				whole = true
				clear(stored) // of the time before
			}
			m := rapid.SampledFrom(g.members).Draw(t, "member")
			replica := fmt.Sprint("r", rapid.IntRange(1, 3).Draw(t, "replica"))
			if m.send(t, "a", "eu", replica) && whole {
				for other, last := range stored {
					if other != replica {
						require.GreaterOrEqual(t, at.Sub(last), 25*time.Second, "%s and %s are both stored", replica, other)
					}
				}
				stored[replica] = at
			}
			g.settle()
		}
		g.heal()
		require.NotEmpty(t, g.elected(t, 0).Replica)
	})
}
