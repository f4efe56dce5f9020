package cache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// What belongs to results is under keys that a cluster has on one member, so that one MGET sees all of it at one moment:
//
//	PREFIX {results1}: g: TENANT   the generation of a tenant
//	PREFIX {results1}: l: MEMBER   the lease of a member
//	PREFIX {results1}: r: HASH     an answer, by half of the SHA-256 of tenant, setting and key, in hex
//
// The value of an answer is
//
//	stamp  8 bytes  of the View that it was computed after, big endian
//	sum    8 bytes  XXH64 of its key, the stamp and the data, big endian
//	data
//
// A generation is a random number in hex; a lease that, and after colons the member's ResultsOptions.Settled in
// milliseconds and what its Deleted returns, in hex. The latter is no part of stamps: it changes for all tenants.

// MaxResult bounds an answer, in bytes.
const MaxResult = 1 << 20

const (
	resultHeader = 16
	maxResult    = resultHeader + MaxResult
	// generationTTL is how long the generation of a tenant that nobody asks about is there.
	generationTTL = 30 * 24 * time.Hour
)

func (c RedisConfig) resultsPrefix() string { return c.Prefix + "{results1}:" }

func (c RedisConfig) generationKey(tenant string) string { return c.resultsPrefix() + "g:" + tenant }

func (c RedisConfig) leaseKey(member string) string { return c.resultsPrefix() + "l:" + member }

// resultKey holds a hash of which nobody can find another key: queries are as users write them.
func (c RedisConfig) resultKey(tenant, setting, key string) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + setting + "\x00" + key))
	return c.resultsPrefix() + "r:" + hex.EncodeToString(sum[:16])
}

func resultSum(key string, stamp uint64, data []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(key)
	_, _ = d.Write(binary.BigEndian.AppendUint64(nil, stamp))
	_, _ = d.Write(data)
	return d.Sum64()
}

// appendResult appends the value of an answer.
func appendResult(dst []byte, key string, stamp uint64, data []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, stamp)
	return append(binary.BigEndian.AppendUint64(dst, resultSum(key, stamp, data)), data...)
}

// decodeResult returns the answer in a value, if it has this stamp. It is not copied.
func decodeResult(key string, stamp uint64, value []byte) ([]byte, bool) {
	if len(value) < resultHeader || binary.BigEndian.Uint64(value) != stamp {
		return nil, false
	}
	data := value[resultHeader:]
	return data, binary.BigEndian.Uint64(value[8:]) == resultSum(key, stamp, data)
}

// number returns a random number, in hex.
func number() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// look is one question of Results.Look.
type look struct {
	s       *Results
	tenant  string
	members []string
	result  string // its key; "" if none is wanted
	deleted string // what this member knows of

	unsure error // why nothing can be used
	stamp  uint64
	value  []byte
}

var (
	errNoRun        = errors.New("the server doesn't say which run it is (INFO server)")
	errNoGeneration = errors.New("the generation of the tenant can't be made")
)

// ask asks the server. An error is one of the connection.
func (l *look) ask(ctx context.Context, c *redisConn) error {
	if c.run == "" {
		l.unsure = errNoRun
		return nil
	}
	generation := l.s.redis.cfg.generationKey(l.tenant)
	for range 2 {
		items, err := l.get(ctx, c, generation)
		if err != nil || l.unsure != nil {
			return err
		}
		if !items[0].null {
			l.judge(c.run, items)
			return nil
		}
		// Another member may do the same: the first one's number is read then.
		replies, err := c.do(ctx, command("SET", generation, number(), "NX", "PX", strconv.FormatInt(generationTTL.Milliseconds(), 10)), 1)
		if err != nil {
			return err
		}
		if l.unsure, err = l.s.refusal(replies[0]); err != nil || l.unsure != nil {
			return err
		}
	}
	l.unsure = errNoGeneration
	return nil
}

// get reads the generation, the leases and, if it is wanted, the answer.
func (l *look) get(ctx context.Context, c *redisConn, generation string) ([]redisReply, error) {
	n := 1 + len(l.members)
	if l.result != "" {
		n++
	}
	request := appendArg(appendArg(appendCommand(make([]byte, 0, 100*(n+1)), n+1), "MGET"), generation)
	for _, m := range l.members {
		request = appendArg(request, l.s.redis.cfg.leaseKey(m))
	}
	if l.result != "" {
		request = appendArg(request, l.result)
	}
	replies, err := c.do(ctx, request, 1)
	if err != nil {
		return nil, err
	}
	if l.unsure, err = l.s.refusal(replies[0]); err != nil || l.unsure != nil {
		return nil, err
	}
	if replies[0].kind != '*' || len(replies[0].items) != n {
		return nil, errProtocol
	}
	return replies[0].items, nil
}

// judge makes the stamp, and takes the answer if it has the same.
func (l *look) judge(run string, items []redisReply) {
	var d xxhash.Digest
	d.Reset()
	add := func(text string) {
		_, _ = d.WriteString(text)
		_, _ = d.WriteString("\x00")
	}
	add(run)
	add(string(items[0].text))
	settled := settledText(l.s.o.Settled)
	for i, m := range l.members {
		lease := strings.Split(string(items[1+i].text), ":")
		switch {
		case len(lease) != 3:
			l.unsure = fmt.Errorf("there is no lease of %s", m)
			return
		case lease[1] != settled:
			l.unsure = fmt.Errorf("%s keeps answers that are older than %s ms, this member those older than %s ms", m, lease[1], settled)
			return
		case m != l.s.o.Self() && lease[2] != l.deleted:
			l.unsure = fmt.Errorf("%s knows other requests to delete", m)
			return
		}
		add(m)
		add(lease[0])
	}
	l.stamp = max(1, d.Sum64())
	if l.result == "" {
		return
	}
	value := items[1+len(l.members)]
	if data, ok := decodeResult(l.result, l.stamp, value.text); ok && !value.null {
		l.value = data
	}
}

func deletedText(n uint64) string { return strconv.FormatUint(n, 16) }

func settledText(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
