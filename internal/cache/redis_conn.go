package cache

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// What is spoken with Redis is version 2 of its protocol, RESP, and of that what pages and results need. Whatever listens
// at the address must do no harm, which no client library that was tried promises:
//
//   - rueidis 1.0.79 panics when the other side breaks the protocol, in a goroutine of its own where nobody can catch it.
//   - go-redis 9.23.0 makes room for what a reply says that it will hold. "*2000000000" in reply to its HELLO ends the
//     program, out of memory. So does "$9223372036854775807" to a GET by way of a cluster: the length overflows, and
//     makeslice panics in the goroutine of the pipeline. Its client of Sentinel indexes replies that it has not looked
//     at, in a goroutine, too. It adds 8.7 MB to a stripped program (9.7.3: 4.6 MB), and dials in goroutines that Close
//     doesn't wait for.

// appendCommand appends the start of a command of so many arguments, which follow.
func appendCommand(dst []byte, args int) []byte {
	return append(strconv.AppendInt(append(dst, '*'), int64(args), 10), "\r\n"...)
}

func appendArg[T string | []byte](dst []byte, arg T) []byte {
	dst = append(strconv.AppendInt(append(dst, '$'), int64(len(arg)), 10), "\r\n"...)
	return append(append(dst, arg...), "\r\n"...)
}

func command(args ...string) []byte {
	out := appendCommand(nil, len(args))
	for _, a := range args {
		out = appendArg(out, a)
	}
	return out
}

// redisReply is what a server says to a command.
type redisReply struct {
	kind  byte // '+', '-', ':', '$' or '*'; 0: it said nothing
	null  bool
	text  []byte // of all kinds but '*'
	items []redisReply
}

// err is the error that the server replied.
func (r redisReply) err() error {
	if r.kind == '-' {
		return redisError(r.text)
	}
	return nil
}

// redisError is an error that a server replied. It begins with a word in capitals.
type redisError string

func (e redisError) Error() string { return string(e) }

const (
	// maxReply bounds a string that is kept where pages are read; longer ones are read over and appear as empty.
	maxReply = sumSize + PageSize
	// maxSkipped bounds a string that is read over: Redis has none that are longer.
	maxSkipped = 512 << 20
	maxItems   = 1 << 16
	maxDepth   = 4
)

var errProtocol = errors.New("this is not the protocol of Redis")

// readReply reads a reply, of which it keeps strings of at most most bytes. Its memory is its own.
func readReply(r *bufio.Reader, depth, most int) (out redisReply, err error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = errProtocol
	}
	if err != nil {
		return out, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || len(line) == 0 || depth > maxDepth {
		return out, errProtocol
	}
	out.kind = line[0]
	line = line[1:]
	switch out.kind {
	case '+', '-', ':':
		out.text = bytes.Clone(line)
		return out, nil
	case '$', '*':
	default:
		return out, errProtocol
	}
	n, err := strconv.ParseInt(string(line), 10, 64)
	switch {
	case err != nil || n < -1:
		return out, errProtocol
	case n == -1:
		out.null = true
		return out, nil
	case out.kind == '*':
		out.items, err = readItems(r, n, depth, most)
	default:
		out.text, err = readText(r, n, most)
	}
	return out, err
}

func readItems(r *bufio.Reader, n int64, depth, most int) (items []redisReply, err error) {
	if n > maxItems {
		return nil, errProtocol
	}
	for range n {
		item, err := readReply(r, depth+1, most)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func readText(r *bufio.Reader, n int64, most int) ([]byte, error) {
	if n > maxSkipped {
		return nil, errProtocol
	}
	if n > int64(most) {
		_, err := r.Discard(int(n) + len("\r\n"))
		return nil, err
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	text, ok := bytes.CutSuffix(text, []byte("\r\n"))
	if !ok {
		return nil, errProtocol
	}
	return text, nil
}

// redisConn is a connection. After an error it must be closed.
type redisConn struct {
	net.Conn
	r    *bufio.Reader
	most int // bytes of a string that is kept
	// run names the process of the server, where login.run asks for it; "" if it doesn't say. What it has forgotten
	// in a restart, or what the one before it had and it never got, it can't hide behind the same name.
	run string
}

// do sends a request of some commands and reads the reply to each.
func (c *redisConn) do(ctx context.Context, request []byte, commands int) ([]redisReply, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(connectTimeout)
	}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A deadline that is over ends what is under way.
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)); close(interrupted) })
	replies, err := c.exchange(request, commands)
	if !stop() {
		<-interrupted
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return replies, err
}

func (c *redisConn) exchange(request []byte, commands int) ([]redisReply, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	replies := make([]redisReply, commands)
	for i := range replies {
		var err error
		if replies[i], err = readReply(c.r, 0, c.most); err != nil {
			return nil, err
		}
	}
	if c.r.Buffered() > 0 {
		return nil, errProtocol // it would be taken for the reply to the next command
	}
	return replies, nil
}

// redisNode is a server, with the connections to it.
type redisNode struct {
	addr string
	dial func(ctx context.Context, addr string) (*redisConn, error)
	// idle has an element for each connection that nobody uses; nil: one that has not been made.
	idle   chan *redisConn
	closed chan struct{}
	close  func() // waits for what is under way
}

// connsOfNode bounds the connections to a server.
const connsOfNode = 16

var (
	errBusy   = errors.New("all connections were in use")
	errClosed = errors.New("the connections are closed")
)

func newRedisNode(addr string, dial func(context.Context, string) (*redisConn, error)) *redisNode {
	n := &redisNode{addr: addr, dial: dial, idle: make(chan *redisConn, connsOfNode), closed: make(chan struct{})}
	for range connsOfNode {
		n.idle <- nil
	}
	n.close = sync.OnceFunc(func() {
		close(n.closed)
		for range connsOfNode {
			if c := <-n.idle; c != nil {
				_ = c.Close()
			}
		}
	})
	return n
}

// do is redisConn.do on a connection that is free.
func (n *redisNode) do(ctx context.Context, request []byte, commands int) (replies []redisReply, err error) {
	err = n.with(ctx, func(c *redisConn) (err error) {
		replies, err = c.do(ctx, request, commands)
		return err
	})
	return replies, err
}

// with calls f with a connection that is free, which is closed if f returns an error.
func (n *redisNode) with(ctx context.Context, f func(*redisConn) error) error {
	var c *redisConn
	select {
	case <-n.closed:
		return errClosed
	default:
	}
	select {
	case c = <-n.idle:
	case <-n.closed:
		return errClosed
	case <-ctx.Done():
		return errBusy
	}
	defer func() { n.idle <- c }()
	if c == nil {
		made, err := n.dial(ctx, n.addr)
		if err != nil {
			return err
		}
		c = made
	}
	if err := f(c); err != nil {
		_ = c.Close()
		c = nil
		return fmt.Errorf("%s: %w", n.addr, err)
	}
	return nil
}

// login is what is said first on a connection.
type login struct {
	username, password string
	db                 int
	run                bool // ask which process the server is
}

// dialer returns how to make a connection that is logged in and has its database.
func dialer(l login, tlsConfig *tls.Config) func(ctx context.Context, addr string) (*redisConn, error) {
	var greeting []byte
	commands := 0
	greet := func(args ...string) { greeting, commands = append(greeting, command(args...)...), commands+1 }
	switch {
	case l.username != "":
		greet("AUTH", l.username, l.password)
	case l.password != "":
		greet("AUTH", l.password)
	}
	if l.db > 0 {
		greet("SELECT", strconv.Itoa(l.db))
	}
	if l.run {
		greet("INFO", "server")
	}
	return func(ctx context.Context, addr string) (*redisConn, error) {
		dialer := net.Dialer{Timeout: connectTimeout}
		raw, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if tlsConfig != nil {
			secured := tlsConfig.Clone()
			if secured.ServerName == "" {
				secured.ServerName, _, _ = net.SplitHostPort(addr)
			}
			raw = tls.Client(raw, secured) // shakes hands with the first write
		}
		conn := &redisConn{Conn: raw, r: bufio.NewReaderSize(raw, PageSize), most: maxReply}
		replies, err := conn.do(ctx, greeting, commands)
		if err == nil && l.run {
			last := len(replies) - 1
			// A user who may not ask, or a server that has none, is as good as one whose results nobody can trust.
			conn.run, conn.most = runOf(replies[last].text), maxResult
			replies = replies[:last]
		}
		for _, r := range replies {
			err = errors.Join(err, r.err())
		}
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("log in to %s: %w", addr, err)
		}
		return conn, nil
	}
}

// runOf returns the run ID in what a server says of itself.
func runOf(info []byte) string {
	for line := range bytes.Lines(info) {
		if id, ok := bytes.CutPrefix(line, []byte("run_id:")); ok {
			return string(bytes.TrimSpace(id))
		}
	}
	return ""
}
