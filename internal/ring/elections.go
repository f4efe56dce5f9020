package ring

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/services"
)

// ElectionIdle is how long an election is remembered whose chosen one is silent. After it the terms of the group begin anew.
const ElectionIdle = 30 * time.Minute

const (
	electionsKey = "elections"
	// tellEvery bounds how often this process tells of elections: those in between are told together.
	tellEvery = 100 * time.Millisecond
)

// Group is what elects one of its senders.
type Group struct{ Tenant, Name string }

// Election is who of a group is listened to.
type Election struct {
	Chosen string
	// Term counts the elections of the group: one that knows of an earlier one is a term later, whatever the clocks of
	// the two members say.
	Term  uint64
	Since int64 // when it was chosen, Unix milliseconds
	Heard int64 // when it was last heard, Unix milliseconds
}

// Join is what two members that say this and that agree on: the later election, and of the same one the time when its
// chosen was heard last. In whatever order what is said arrives, and however often, it comes to the same.
func (e Election) Join(o Election) Election {
	switch c := cmp.Or(cmp.Compare(e.Term, o.Term), cmp.Compare(e.Since, o.Since), strings.Compare(e.Chosen, o.Chosen)); {
	case c < 0:
		return o
	case c == 0:
		e.Heard = max(e.Heard, o.Heard)
	}
	return e
}

// Elections tell the members whom each has chosen, and tell this process what the others say. They are a service, which
// must stop before the cluster does.
//
// Nobody is asked before an election: two members that hear different senders of a group at the same moment choose both, until
// they have heard of each other, which takes parts of a second.
type Elections struct {
	services.Service

	cluster *Cluster
	client  *memberlist.Client // set by start
	wake    chan struct{}

	mu      sync.Mutex
	pending map[Group]Election // to be told
	learn   func(map[Group]Election)
}

// Elections are those of all members; nil if this process is alone. There is one such for each Cluster.
func (c *Cluster) Elections() *Elections {
	if c == nil {
		return nil
	}
	e := &Elections{cluster: c, wake: make(chan struct{}, 1), pending: map[Group]Election{}}
	e.Service = services.NewBasicService(e.start, e.run, nil).WithName("elections")
	return e
}

// OnLearn has f called with all elections at the start, and after each change. It may keep the map, and must not block.
// It is set before the service starts.
func (e *Elections) OnLearn(f func(map[Group]Election)) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.learn = f
}

// Tell lets the others know of an election, or that its chosen one was heard. It doesn't wait for that.
func (e *Elections) Tell(g Group, election Election) {
	e.mu.Lock()
	if before, ok := e.pending[g]; ok {
		election = before.Join(election)
	}
	e.pending[g] = election
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Elections) start(ctx context.Context) error {
	kv, err := e.cluster.kv.GetMemberlistKV()
	if err == nil {
		e.client, err = memberlist.NewClient(kv, e.cluster.electionsCodec)
	}
	var known any
	if err == nil {
		known, err = e.client.Get(ctx, electionsKey)
	}
	if err != nil {
		return fmt.Errorf("elections: %w", err)
	}
	e.learned(known)
	return nil
}

// run follows what others say, and tells what is pending.
func (e *Elections) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { e.client.WatchKey(ctx, electionsKey, e.learned) })
	defer watch.Wait()
	defer cancel()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		}
		if err := e.tell(ctx); err != nil && ctx.Err() == nil {
			// What wasn't told is told again: whoever is chosen is heard again.
			e.cluster.o.Logger.Warn("other members were not told of elections", "err", err)
		}
		pause.Reset(tellEvery)
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}

// learned hands on what is known. It always goes on.
func (e *Elections) learned(v any) bool {
	known, ok := v.(*elections)
	e.mu.Lock()
	learn := e.learn
	e.mu.Unlock()
	if ok && known != nil && learn != nil {
		learn(known.of)
	}
	return true
}

func (e *Elections) tell(ctx context.Context) error {
	e.mu.Lock()
	pending := &elections{of: e.pending}
	e.pending = map[Group]Election{}
	e.mu.Unlock()
	if len(pending.of) == 0 {
		return nil
	}
	return e.client.CAS(ctx, electionsKey, func(in any) (any, bool, error) {
		known, ok := in.(*elections)
		if !ok || known == nil {
			return pending, true, nil
		}
		if known.join(pending) == nil {
			return nil, false, nil // the others know it
		}
		return known, true, nil
	})
}

// elections are what is gossiped. It implements memberlist.Mergeable.
type elections struct{ of map[Group]Election }

// join takes over what is later in o, and returns what that is; nil if nothing is.
func (e *elections) join(o *elections) *elections {
	var change *elections
	for g, said := range o.of {
		was, known := e.of[g]
		is := said
		if known {
			if is = was.Join(said); is == was {
				continue
			}
		}
		if change == nil {
			change = &elections{of: map[Group]Election{}}
		}
		e.of[g], change.of[g] = is, is
	}
	return change
}

// Merge implements memberlist.Mergeable.
func (e *elections) Merge(other memberlist.Mergeable, _ bool) (memberlist.Mergeable, error) {
	if other == nil {
		return nil, nil
	}
	o, ok := other.(*elections)
	if !ok {
		return nil, fmt.Errorf("elections can't be merged with %T", other)
	}
	if o == nil {
		return nil, nil
	}
	// An election that everybody is about to forget doesn't win over a new one with a term of 1.
	e.RemoveTombstones(time.Time{})
	o.RemoveTombstones(time.Time{})
	if change := e.join(o); change != nil {
		return change, nil
	}
	return nil, nil
}

// MergeContent implements memberlist.Mergeable.
func (e *elections) MergeContent() []string {
	out := make([]string, 0, len(e.of))
	for g := range e.of {
		out = append(out, g.Tenant+"/"+g.Name)
	}
	return out
}

// RemoveTombstones implements memberlist.Mergeable. What nobody has heard for long is forgotten by all members on their
// own: it needs no tombstone.
func (e *elections) RemoveTombstones(time.Time) (total, removed int) {
	return 0, e.forget(time.Now().Add(-ElectionIdle).UnixMilli())
}

// forget drops elections whose chosen were last heard before a time.
func (e *elections) forget(before int64) (n int) {
	for g, election := range e.of {
		if election.Heard < before {
			delete(e.of, g)
			n++
		}
	}
	return n
}

// Clone implements memberlist.Mergeable.
func (e *elections) Clone() memberlist.Mergeable { return &elections{of: maps.Clone(e.of)} }
