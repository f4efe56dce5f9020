package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// redisSlots is how many parts the keys of a cluster are divided into.
const redisSlots = 16384

// redisClient speaks with a server, or with the members of a cluster as they were when it was made: when keys have
// moved, operations fail, and the next client knows where they are.
type redisClient struct {
	nodes    []*redisNode
	slots    []*redisNode // of a cluster: which node has a slot; nil for slots that no node has
	results  *redisNode   // the node that has the results, by connections of their own; nil if no node has them
	failures atomic.Int32 // since the last read that was answered
}

// openRedis asks one of the servers at addrs who its cluster is, if it is of one.
func openRedis(ctx context.Context, addrs []string, dial func(context.Context, string) (*redisConn, error)) (*redisClient, error) {
	var errs []error
	for _, addr := range addrs {
		c, err := openRedisAt(ctx, addr, dial)
		if err == nil && c.slots == nil && len(addrs) > 1 {
			c.close()
			err = fmt.Errorf("%s is not a member of a cluster, but there are other addresses", addr)
		}
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func openRedisAt(ctx context.Context, addr string, dial func(context.Context, string) (*redisConn, error)) (*redisClient, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	seed := newRedisNode(addr, dial)
	c := &redisClient{nodes: []*redisNode{seed}}
	replies, err := seed.do(ctx, command("CLUSTER", "SLOTS"), 1)
	if err != nil {
		c.close()
		return nil, err
	}
	if replies[0].kind == '-' {
		return c, nil // a server by itself, or one that doesn't let this user know of more
	}
	if err := c.learn(seed, replies[0], dial); err != nil {
		c.close()
		return nil, fmt.Errorf("%s: CLUSTER SLOTS: %w", addr, err)
	}
	for _, n := range c.nodes {
		// Connects: a query has less time for that. Members that don't answer are noticed by who needs them.
		_, _ = n.do(ctx, command("PING"), 1)
	}
	return c, nil
}

// learn takes over which node has which slots: [first, last, [host, port, …], replicas …] for each range.
func (c *redisClient) learn(seed *redisNode, ranges redisReply, dial func(context.Context, string) (*redisConn, error)) error {
	c.slots = make([]*redisNode, redisSlots)
	byAddr := map[string]*redisNode{seed.addr: seed}
	for _, r := range ranges.items {
		if len(r.items) < 3 || len(r.items[2].items) < 2 {
			return errProtocol
		}
		first, err1 := strconv.Atoi(string(r.items[0].text))
		last, err2 := strconv.Atoi(string(r.items[1].text))
		if err1 != nil || err2 != nil || first < 0 || last >= redisSlots {
			return errProtocol
		}
		host, port := string(r.items[2].items[0].text), string(r.items[2].items[1].text)
		if host == "" || host == "?" { // the one that was asked doesn't know by which name
			host, _, _ = net.SplitHostPort(seed.addr)
		}
		addr := net.JoinHostPort(host, port)
		n := byAddr[addr]
		if n == nil {
			n = newRedisNode(addr, dial)
			byAddr[addr], c.nodes = n, append(c.nodes, n)
		}
		for slot := first; slot <= last; slot++ {
			c.slots[slot] = n
		}
	}
	return nil
}

// close waits for what is under way.
func (c *redisClient) close() {
	for _, n := range c.nodes {
		n.close()
	}
	if c.results != nil {
		c.results.close()
	}
}

// node returns which node has a key; nil if none has.
func (c *redisClient) node(key string) *redisNode {
	if c.slots == nil {
		return c.nodes[0]
	}
	return c.slots[slotOf(key)]
}

// redisCommand is a command about one key.
type redisCommand struct {
	key  string
	text []byte
}

// do sends each command to the node that has its key, and returns the replies in the order of the commands. With an
// error there are replies of the other nodes.
func (c *redisClient) do(ctx context.Context, commands []redisCommand) ([]redisReply, error) {
	replies := make([]redisReply, len(commands))
	if c.slots == nil { // Fast path: one server.
		return replies, ask(ctx, c.nodes[0], commands, nil, replies)
	}
	parts := map[*redisNode][]int{}
	for i := range commands {
		if n := c.node(commands[i].key); n != nil {
			parts[n] = append(parts[n], i)
		}
	}
	var asking sync.WaitGroup
	errs := make(chan error, len(parts))
	for n, part := range parts {
		asking.Go(func() { errs <- ask(ctx, n, commands, part, replies) })
	}
	asking.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return replies, errors.Join(all...)
}

// ask sends a node the commands of part, or all if that is nil, and fills in their replies.
func ask(ctx context.Context, n *redisNode, commands []redisCommand, part []int, replies []redisReply) error {
	size := 0
	each := func(f func(i int)) int {
		if part == nil {
			for i := range commands {
				f(i)
			}
			return len(commands)
		}
		for _, i := range part {
			f(i)
		}
		return len(part)
	}
	count := each(func(i int) { size += len(commands[i].text) })
	request := make([]byte, 0, size)
	each(func(i int) { request = append(request, commands[i].text...) })
	got, err := n.do(ctx, request, count)
	if err != nil {
		return err
	}
	k := 0
	each(func(i int) { replies[i] = got[k]; k++ })
	return nil
}

// slotOf is the slot of a key in a cluster: CRC16 (XMODEM) of the key, or of what stands in its first braces.
func slotOf(key string) int {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % redisSlots)
}
