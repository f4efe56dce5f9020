package cache

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadReply(t *testing.T) {
	for in, want := range map[string]redisReply{
		"+OK\r\n":                       {kind: '+', text: []byte("OK")},
		"-ERR no\r\n":                   {kind: '-', text: []byte("ERR no")},
		":-12\r\n":                      {kind: ':', text: []byte("-12")},
		"$0\r\n\r\n":                    {kind: '$', text: []byte{}},
		"$4\r\na\r\nb\r\n":              {kind: '$', text: []byte("a\r\nb")},
		"$-1\r\n":                       {kind: '$', null: true},
		"*-1\r\n":                       {kind: '*', null: true},
		"*0\r\n":                        {kind: '*'},
		"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n": {kind: '*', items: []redisReply{{kind: ':', text: []byte("1")}, {kind: '*', items: []redisReply{{kind: '$', text: []byte("x")}}}}},
		// Longer than any page: not kept.
		"$20000\r\n" + strings.Repeat("x", 20000) + "\r\n": {kind: '$'},
	} {
		got, err := readReply(bufio.NewReader(strings.NewReader(in)), 0, maxReply)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "\r\n", "x", "+OK\n", "?1\r\n", "$x\r\n", "$-2\r\n", "$3\r\nabcd\r\n", "$5\r\nab", "$600000000\r\n", "$99999999999999999999\r\n", "*-2\r\n", "*100000\r\n", "*2\r\n:1\r\n",
		strings.Repeat("*1\r\n", 10) + ":1\r\n", "+" + strings.Repeat("x", 100_000)} {
		_, err := readReply(bufio.NewReader(strings.NewReader(in)), 0, maxReply)
		require.Error(t, err, in)
	}
}

func TestCommand(t *testing.T) {
	require.Equal(t, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", string(command("GET", "k")))
	value := appendPage(nil, "k", []byte("page"))
	require.Equal(t, string(command("SET", "k", string(value), "PX", "1000")), string(appendSet("k", []byte("page"), "1000")))
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\nx\r\n:1\r\n"))
	f.Add([]byte("$5\r\nab"))
	f.Add([]byte("-ERR\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			reply, err := readReply(r, 0, maxReply)
			if err != nil {
				return
			}
			require.LessOrEqual(t, len(reply.text), max(maxReply, r.Size()))
		}
	})
}
