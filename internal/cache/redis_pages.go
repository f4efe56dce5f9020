package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A page is a string under the key
//
//	PREFIX page1: SIZE : OBJECT : PAGE
//
// where SIZE is PageSize, so that programs with other pages don't meet, and PAGE the number of the page in the object.
// The value is
//
//	sum   8 bytes  XXH64 of the key and the data, big endian
//	data  0 to SIZE bytes
//
// The sum tells what is damaged, cut off or of another key from a page. It is no protection against who means harm.

const sumSize = 8

// redisPage is a page to write.
type redisPage struct {
	key  Key
	data []byte
}

func (r *Redis) key(k Key) string {
	b := make([]byte, 0, len(r.cfg.Prefix)+len(k.Object)+32)
	b = append(append(b, r.cfg.Prefix...), "page1:"...)
	b = append(strconv.AppendInt(b, PageSize, 10), ':')
	b = append(append(b, k.Object...), ':')
	return string(strconv.AppendInt(b, k.Page, 10))
}

func pageSum(key string, data []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(key)
	_, _ = d.Write(data)
	return d.Sum64()
}

// appendPage appends the value for the page data.
func appendPage(dst []byte, key string, data []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, pageSum(key, data)), data...)
}

// appendSet returns the command that stores the page data under a key.
func appendSet(key string, data []byte, ttl string) []byte {
	out := appendCommand(make([]byte, 0, len(data)+len(key)+100), 5)
	out = appendArg(appendArg(out, "SET"), key)
	out = append(strconv.AppendInt(append(out, '$'), int64(sumSize+len(data)), 10), "\r\n"...)
	out = append(appendPage(out, key, data), "\r\n"...)
	return appendArg(appendArg(out, "PX"), ttl)
}

// decodePage returns the page in a value, which is not copied.
func decodePage(key string, value []byte) (data []byte, ok bool) {
	if len(value) < sumSize || len(value) > sumSize+PageSize {
		return nil, false
	}
	data = value[sumSize:len(value):len(value)]
	return data, binary.BigEndian.Uint64(value) == pageSum(key, data)
}

// readPages is how many pages are asked for at once: with more an answer of 1 MiB would have to come within the timeout.
const readPages = 64

// get gives found what there is of keys, by their index. It returns early when Redis fails.
func (r *Redis) get(ctx context.Context, keys []Key, found func(i int, data []byte)) {
	for at := 0; at < len(keys); at += readPages {
		c := r.client.Load()
		if c == nil || !r.getSome(ctx, c, keys[at:min(at+readPages, len(keys))], func(i int, data []byte) { found(at+i, data) }) {
			return
		}
	}
}

func (r *Redis) getSome(ctx context.Context, c *redisClient, keys []Key, found func(i int, data []byte)) bool {
	commands := make([]redisCommand, len(keys))
	for i, k := range keys {
		name := r.key(k)
		commands[i] = redisCommand{name, command("GET", name)}
	}
	started := time.Now()
	timed, cancel := context.WithTimeout(ctx, time.Duration(r.cfg.Timeout))
	replies, err := c.do(timed, commands)
	cancel()
	r.metrics.duration.WithLabelValues("read").Observe(time.Since(started).Seconds())
	hits := 0
	for i, reply := range replies {
		data, ok := decodePage(commands[i].key, reply.text)
		switch {
		case reply.kind == 0 || reply.null:
		case reply.kind == '$' && ok:
			found(i, data)
			hits++
		case reply.kind == '-' && !bytes.HasPrefix(reply.text, []byte("WRONGTYPE ")):
			err = reply.err()
		default:
			r.metrics.damaged.Inc()
		}
	}
	if err != nil {
		r.fail(ctx, c, "read", err)
	} else {
		c.failures.Store(0)
	}
	r.metrics.hits.Add(float64(hits))
	r.metrics.misses.Add(float64(len(keys) - hits))
	return err == nil
}

// put has a page written some time. Nobody may write to data any more.
func (r *Redis) put(k Key, data []byte) {
	if r.client.Load() == nil {
		r.metrics.dropped.Inc()
		return
	}
	select {
	case r.queue <- redisPage{k, data}:
	default:
		r.metrics.dropped.Inc()
	}
}

// writePages is how many pages are written at once: 256 KiB, little enough for the second that it may take.
const writePages = 16

// write writes what is queued, until ctx is done and the queue empty, or some time after it.
func (r *Redis) write(ctx context.Context) {
	w := redisWriter{r: r, batch: make([]redisPage, 0, writePages)}
	for {
		select {
		case p := <-r.queue:
			w.next(context.WithoutCancel(ctx), p)
		case <-ctx.Done():
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
			defer cancel()
			for drain.Err() == nil {
				select {
				case p := <-r.queue:
					w.next(drain, p)
				default:
					return
				}
			}
			return
		}
	}
}

// redisWriter is what Redis.write knows.
type redisWriter struct {
	r       *Redis
	batch   []redisPage
	refused time.Time // when the server took no page, zero if it took the last one
}

// next writes p and what else is queued.
func (w *redisWriter) next(ctx context.Context, p redisPage) {
	w.batch = append(w.batch[:0], p)
	for len(w.batch) < writePages {
		select {
		case p := <-w.r.queue:
			w.batch = append(w.batch, p)
			continue
		default:
		}
		break
	}
	c := w.r.client.Load()
	written := 0
	// A server that is full or only to be read is asked once in a while: its pages can still be read.
	if c != nil && (w.refused.IsZero() || time.Since(w.refused) >= w.r.pause) {
		written = w.send(ctx, c)
	}
	w.r.metrics.written.Add(float64(written))
	w.r.metrics.dropped.Add(float64(len(w.batch) - written))
	clear(w.batch)
}

// send returns how many pages of the batch were written.
func (w *redisWriter) send(ctx context.Context, c *redisClient) (written int) {
	commands := make([]redisCommand, len(w.batch))
	ttl := strconv.FormatInt(time.Duration(w.r.cfg.TTL).Milliseconds(), 10)
	for i, p := range w.batch {
		name := w.r.key(p.key)
		commands[i] = redisCommand{name, appendSet(name, p.data, ttl)}
	}
	started := time.Now()
	timed, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	replies, failure := c.do(timed, commands)
	var refusal error
	for _, reply := range replies {
		if err := reply.err(); err != nil {
			refusal = err
			if reply.demoted() && w.r.cfg.Sentinel.Master != "" {
				w.r.giveUp(c, "write", err) // there is another one
			}
		} else if reply.kind == '+' {
			written++
		}
	}
	w.r.metrics.duration.WithLabelValues("write").Observe(time.Since(started).Seconds())
	if failure != nil { // success is no news: it has more time than a read
		w.r.fail(ctx, c, "write", failure)
	}
	w.tell(refusal)
	return written
}

// tell remembers whether pages were refused. It is logged once.
func (w *redisWriter) tell(refusal error) {
	if refusal == nil {
		w.refused = time.Time{}
		return
	}
	w.r.metrics.errors.WithLabelValues("write").Inc()
	level := slog.LevelDebug
	if w.refused.IsZero() {
		level = slog.LevelWarn
	}
	w.r.logger.Log(context.Background(), level, "redis takes no pages", "err", refusal)
	w.refused = time.Now()
}
