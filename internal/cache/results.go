package cache

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Results keeps answers to queries where the members of a cluster find those of each other, in a Redis, and says of
// answers that a member keeps in its memory whether they still hold for all.
//
// An answer is computed from what was written until then. Members that acknowledge writes to times of which answers
// are kept, or requests to delete, take those back first, so that nobody is given an answer that is older than what
// was acknowledged. There are two ways to take back, and each kept answer bears the stamp of both:
//
//   - The generation of a tenant is a random number at a key of the tenant. TakeBack deletes it; who then misses it makes
//     another one. Answers of an earlier generation are void.
//   - The lease of a member is a random number at a key of the member that ends by itself after 10 s, by the clock of
//     the server, and is renewed every 3 s. Nobody uses an answer unless the leases of all members are there. A member
//     that can't reach the server waits, before it acknowledges, until its lease must have ended; its next lease is
//     another number, so that all answers from before it are void.
//
// A stamp is read before an answer is computed and holds as long as it is read again: generation, leases of all members
// that can write, and which run of the server said so. A server that lost what it held, by eviction, a restart or a
// fail-over to one that had not got all of it, therefore costs answers and nothing else: each run has its own stamps, and
// a member that meets another run does not rely on what it told the one before until its lease there must have ended.
// When members come or go the others choose other numbers for their leases: who was away can have brought to the bucket
// what answers from before lack.
//
// The lease that a renewal asks for ends at a time, not after one, so that a request which lay about in a buffer while the
// server stood still can't bring it back. Two things are relied on: clocks of members and server run equally fast (to a
// tenth), and that of the server isn't set back by more than a second.
//
// Run renews the lease and writes answers. Safe for concurrent use.
type Results struct {
	redis   *Redis
	o       ResultsOptions
	metrics *resultsMetrics
	times   leaseTimes
	lease   lease

	unsure    unsure
	inCompany atomic.Bool
	meetings  atomic.Uint64 // how often others came to this member, when it was alone

	queue  chan queuedResult
	queued atomic.Int64 // bytes in queue
}

// ResultsOptions are what the program gives Results; all are required.
type ResultsOptions struct {
	// Self returns the name of this member; "" if it is none of those that Others names to others.
	Self func() string
	// Others returns the names of all other members that acknowledge writes, in order, also of those that don't answer.
	Others func() []string
	// Setting is what else answers depend on: members that differ in it don't find each other's.
	Setting string
	// Deleted returns a number that stands for what there are requests to delete of, as far as this member knows. Nothing is
	// used or kept while a member knows others than this one: it may still contribute to answers what is deleted.
	Deleted func() uint64
	// Settled is how old an answer is at least to be kept. Members where it differs share nothing: writes to younger
	// times take nothing back.
	Settled    time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// ViewState says what answers can be used.
type ViewState int

const (
	// Unsure: none, and none can be kept. It isn't known whether they still hold.
	Unsure ViewState = iota
	// Alone: those with the same stamp that this member has in its memory, until it writes itself. There is no other.
	Alone
	// Sure: those with the same stamp.
	Sure
)

// View is what there was to be known about answers of a tenant at a moment.
type View struct {
	State ViewState
	// Stamp is what answers bear that are computed now.
	Stamp   uint64
	members []string
}

type queuedResult struct {
	key   string
	value []byte
}

const (
	// maxQueuedResults and maxQueuedBytes bound the answers that wait to be written; beyond them they are not.
	maxQueuedResults = 64
	maxQueuedBytes   = 8 << 20
	// resultsTTL bounds how long an answer is kept.
	resultsTTL = 24 * time.Hour
)

// NewResults returns Results that share nothing until Run runs.
func NewResults(r *Redis, o ResultsOptions) (*Results, error) {
	s := &Results{redis: r, o: o, times: defaultLeaseTimes, queue: make(chan queuedResult, maxQueuedResults)}
	s.o.Logger = o.Logger.With("redis", r.cfg.Addresses)
	s.metrics = newResultsMetrics(s)
	return s, s.metrics.register(o.Registerer)
}

// Run renews the lease and writes answers until ctx is done. It returns nil.
func (s *Results) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { s.keepLease(ctx); return nil })
	g.Go(func() error { s.write(ctx); return nil })
	return g.Wait()
}

// Look says which answers of a tenant can be used, and if one is wanted also what is kept under key: nil if there is
// nothing that can be used. It must be called before what is kept with its View is computed.
func (s *Results) Look(ctx context.Context, tenant, key string, wanted bool) (View, []byte) {
	members := s.members()
	if members == nil {
		return View{State: Alone, Stamp: s.meetings.Load()}, nil
	}
	l := look{s: s, tenant: tenant, members: members, deleted: deletedText(s.o.Deleted())}
	if wanted {
		l.result = s.redis.cfg.resultKey(tenant, s.o.Setting, key)
	}
	started := time.Now()
	err := s.onServer(ctx, time.Duration(s.redis.cfg.Timeout), l.ask)
	s.metrics.duration.Observe(time.Since(started).Seconds())
	if err == nil {
		err = l.unsure
	}
	found := "own"
	switch {
	case err != nil:
		s.metrics.looks.WithLabelValues("unsure").Inc()
		s.unsure.note(s.o.Logger, err, started)
		return View{}, nil
	case l.value != nil:
		found = "found"
	case wanted:
		found = "missed"
	}
	s.metrics.looks.WithLabelValues(found).Inc()
	s.unsure.end()
	return View{State: Sure, Stamp: l.stamp, members: members}, l.value
}

// unsure is a time in which nothing can be relied on.
type unsure struct {
	since atomic.Int64 // Unix nanoseconds; 0: it is not so
	told  atomic.Bool
}

// tellUnsure is how long it may last before it is told: a member that starts, or a fail-over, take less.
const tellUnsure = time.Minute

// note tells of it, once, when it has lasted for long: it costs speed, and may be because one member lacks the Redis.
func (u *unsure) note(logger *slog.Logger, why error, now time.Time) {
	u.since.CompareAndSwap(0, now.UnixNano())
	level := slog.LevelDebug
	if since := u.since.Load(); since != 0 && now.UnixNano()-since > int64(tellUnsure) && !u.told.Swap(true) {
		level = slog.LevelWarn
	}
	logger.Log(context.Background(), level, "results of queries can't be relied on, all are computed anew", "err", why)
}

func (u *unsure) end() {
	if u.since.Load() != 0 {
		u.since.Store(0)
		u.told.Store(false)
	}
}

// members returns all members in order; nil if this one is alone.
func (s *Results) members() []string {
	others := s.o.Others()
	if len(others) == 0 {
		s.inCompany.Store(false)
		return nil
	}
	if !s.inCompany.Swap(true) {
		s.meetings.Add(1)
	}
	all := append(others[:len(others):len(others)], s.o.Self())
	slices.Sort(all)
	return all
}

// Holds reports whether an answer that was computed since v was looked at may be kept: not if the members that it was
// computed from are others by now.
func (s *Results) Holds(v View) bool {
	return v.State != Unsure && slices.Equal(v.members, s.members())
}

// Keep has an answer, that Holds says may be kept, written some time. Nobody may write to it any more.
func (s *Results) Keep(v View, tenant, key string, answer []byte) {
	if v.State != Sure || len(answer) > MaxResult || s.redis.client.Load() == nil {
		s.metrics.dropped.Inc()
		return
	}
	name := s.redis.cfg.resultKey(tenant, s.o.Setting, key)
	q := queuedResult{key: name, value: appendResult(make([]byte, 0, resultHeader+len(answer)), name, v.Stamp, answer)}
	if s.queued.Add(int64(len(q.value))) <= maxQueuedBytes {
		select {
		case s.queue <- q:
			return
		default:
		}
	}
	s.queued.Add(-int64(len(q.value)))
	s.metrics.dropped.Inc()
}

// write writes what is queued, until ctx is done. A server that takes no answers is asked once in a while.
func (s *Results) write(ctx context.Context) {
	ttl := strconv.FormatInt(min(time.Duration(s.redis.cfg.TTL), resultsTTL).Milliseconds(), 10)
	var refused time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-s.queue:
			s.queued.Add(-int64(len(q.value)))
			if !refused.IsZero() && time.Since(refused) < s.redis.pause {
				s.metrics.dropped.Inc()
				continue
			}
			refused = time.Time{}
			if err := s.writeOne(ctx, q, ttl); err != nil {
				s.metrics.dropped.Inc()
				if errors.As(err, new(redisError)) {
					refused = time.Now()
				}
				continue
			}
			s.metrics.written.Inc()
		}
	}
}

func (s *Results) writeOne(ctx context.Context, q queuedResult, ttl string) error {
	request := appendCommand(make([]byte, 0, len(q.value)+len(q.key)+100), 5)
	request = appendArg(appendArg(appendArg(request, "SET"), q.key), q.value)
	request = appendArg(appendArg(request, "PX"), ttl)
	var refusal error
	err := s.onServer(ctx, connectTimeout, func(ctx context.Context, c *redisConn) error {
		replies, err := c.do(ctx, request, 1)
		if err == nil {
			refusal, err = s.refusal(replies[0])
		}
		return err
	})
	return errors.Join(err, refusal)
}

// refusal returns the error that a server replied: as a failure if another server has to be asked.
func (s *Results) refusal(r redisReply) (refusal, failure error) {
	err := r.err()
	for _, elsewhere := range []string{"MOVED ", "ASK ", "CLUSTERDOWN "} {
		if err != nil && strings.HasPrefix(err.Error(), elsewhere) {
			return nil, err
		}
	}
	if r.demoted() && s.redis.cfg.Sentinel.Master != "" {
		return nil, err
	}
	return err, nil
}

var errLeftOut = errors.New("redis is left out")

// onServer calls f with a connection to the server that has the results, and counts what fails against the server.
func (s *Results) onServer(ctx context.Context, timeout time.Duration, f func(context.Context, *redisConn) error) error {
	c := s.redis.client.Load()
	if c == nil || c.results == nil {
		return errLeftOut
	}
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.results.with(timed, func(conn *redisConn) error { return f(timed, conn) })
	switch {
	case err != nil:
		s.redis.fail(ctx, c, "results", err)
	case timeout <= time.Duration(s.redis.cfg.Timeout):
		c.failures.Store(0) // as quick as a query needs it
	}
	return err
}
