package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// leaseTimes are variable for tests.
type leaseTimes struct {
	valid time.Duration // how long a lease lasts, by the server's clock
	renew time.Duration // how often it is renewed
	slack time.Duration // how much longer this member counts it as valid: clocks differ in speed
}

var defaultLeaseTimes = leaseTimes{valid: 10 * time.Second, renew: 3 * time.Second, slack: time.Second}

// lease is that of this member.
type lease struct {
	mu    sync.Mutex
	value string // what it says; "" before the first one
	run   string // of the server that has it
	// members are those that this one knew of when it chose the value. When others come and go answers from before must
	// not come back: who was away can have brought to the bucket what they lack.
	members []string
	// until is when the last lease that was asked for has ended on whatever server there is, by this member's clock.
	until time.Time
	// spoilt says that something was acknowledged, or will be once until is over, that was not taken back: the next
	// lease must say something else.
	spoilt bool
}

// claim returns what a lease on a server of this run must say, before it is asked for; false while an earlier one has to
// end first. From then on TakeBack counts with it.
func (l *lease) claim(run string, members []string, t leaseTimes, now time.Time) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if run != l.run {
		l.spoilt = true
	}
	if l.spoilt {
		if now.Before(l.until) {
			return "", false
		}
		l.value, l.run, l.spoilt = number(), run, false
	}
	if !slices.Equal(members, l.members) {
		l.value, l.members = number(), members
	}
	l.until = now.Add(t.valid + t.slack)
	return l.value, true
}

// held returns on which run of the server the lease is that answers may be used by. ok is false if there may be one, but not
// one that can be relied on. Where there is none the next one will say something else.
func (l *lease) held(now time.Time) (run string, none, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.until) {
		l.spoilt = true
		return "", true, false
	}
	return l.run, false, !l.spoilt
}

// spoil has the lease not renewed, and returns when it has ended.
func (l *lease) spoil() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoilt = true
	return l.until
}

// keepLease renews the lease until ctx is done.
func (s *Results) keepLease(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(s.times.renew)
		if s.o.Self() == "" {
			continue
		}
		err := s.renew(ctx)
		switch {
		case err == nil:
			told = false
		case ctx.Err() != nil:
		case errors.Is(err, errLeftOut):
			timer.Reset(s.times.renew / 10) // it asks nobody, and the sooner there is a lease the better
		default:
			s.metrics.refused.Inc()
			if !told { // once, not every few seconds for as long as it lasts
				s.o.Logger.Warn("results of queries are not shared: this member has no lease", "err", err)
			}
			told = true
		}
	}
}

var errLeaseEnds = errors.New("an earlier lease has to end first")

// renew asks for the lease. Both questions are put to the same connection, so to the same clock.
func (s *Results) renew(ctx context.Context) error {
	var refusal error
	err := s.onServer(ctx, connectTimeout, func(ctx context.Context, c *redisConn) error {
		if c.run == "" {
			refusal = errNoRun
			return nil
		}
		replies, err := c.do(ctx, command("TIME"), 1)
		if err != nil {
			return err
		}
		known := time.Now() // the server's clock was at theirs then, or is ahead of it
		theirs, err := serverTime(replies[0])
		if err != nil {
			refusal = err
			return nil
		}
		now := time.Now()
		value, ok := s.lease.claim(c.run, s.members(), s.times, now)
		if !ok {
			refusal = errLeaseEnds
			return nil
		}
		end := theirs.Add(now.Sub(known) + s.times.valid)
		replies, err = c.do(ctx, command("SET", s.redis.cfg.leaseKey(s.o.Self()), value+":"+settledText(s.o.Settled)+":"+deletedText(s.o.Deleted()),
			"PXAT", strconv.FormatInt(end.UnixMilli(), 10)), 1)
		if err != nil {
			return err
		}
		refusal, err = s.refusal(replies[0])
		return err
	})
	return errors.Join(err, refusal)
}

// serverTime decodes the reply to TIME: seconds and microseconds.
func serverTime(r redisReply) (time.Time, error) {
	if err := r.err(); err != nil {
		return time.Time{}, err
	}
	if len(r.items) != 2 {
		return time.Time{}, errProtocol
	}
	seconds, err1 := strconv.ParseInt(string(r.items[0].text), 10, 64)
	micros, err2 := strconv.ParseInt(string(r.items[1].text), 10, 64)
	if err1 != nil || err2 != nil {
		return time.Time{}, errProtocol
	}
	return time.Unix(seconds, micros*int64(time.Microsecond)), nil
}

var errOtherRun = errors.New("the server is not the one that has the lease")

// TakeBack makes all answers of a tenant void, those in Redis and those in the memories of members. It must be called when
// queries see what was written or deleted, and return before that is acknowledged. Where Redis can't be reached it waits
// until nobody relies on this member any more, 11 s at most. It returns an error if it must not be acknowledged: ctx ended,
// or this member has no lease that could end.
func (s *Results) TakeBack(ctx context.Context, tenant string) error {
	started := time.Now()
	run, none, ok := s.lease.held(started)
	leased := s.o.Self() != ""
	if none && leased {
		s.metrics.takenBack.WithLabelValues("no lease").Inc()
		return nil
	}
	err := errLeaseEnds
	if ok || !leased {
		if err = s.delete(ctx, tenant, run); err == nil {
			s.metrics.takenBack.WithLabelValues("told").Inc()
			return nil
		}
	}
	if !leased {
		return fmt.Errorf("take back results of queries: %w", err)
	}
	level := slog.LevelWarn
	if !ok {
		level = slog.LevelDebug // it was told when the lease was spoilt
	}
	wait := time.Until(s.lease.spoil())
	s.o.Logger.Log(ctx, level, "results of queries can't be taken back, a write or delete waits until nobody uses them", "tenant", tenant, "err", err, "wait", wait)
	s.metrics.takenBack.WithLabelValues("waited").Inc()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until no results of queries from before are used: %w", context.Cause(ctx))
	}
}

// delete deletes the generation of a tenant, on the server that has the lease; on any if run is "".
func (s *Results) delete(ctx context.Context, tenant, run string) error {
	var refusal error
	err := s.onServer(ctx, connectTimeout, func(ctx context.Context, c *redisConn) error {
		if run != "" && c.run != run {
			refusal = errOtherRun
			return nil
		}
		replies, err := c.do(ctx, command("DEL", s.redis.cfg.generationKey(tenant)), 1)
		if err != nil {
			return err
		}
		if refusal, err = s.refusal(replies[0]); err == nil && refusal == nil && replies[0].kind != ':' {
			err = errProtocol
		}
		return err
	})
	return errors.Join(err, refusal)
}
