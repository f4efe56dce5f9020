package loggen

import "strconv"

// sshSession is a connection that somebody makes to a server.
type sshSession struct{ pid, user, ip, port, host []byte }

// openssh imitates the log of servers that the world tries passwords on.
func openssh(w *world) field {
	attackers := list(400, w.addresses(""))
	attacker := w.zipfOf(1.15, attackers)
	names := w.zipfOf(1.2, append([]string{"root", "admin", "test", "oracle", "guest", "ubuntu", "support", "webmaster", "postgres", "git", "nagios"},
		append(people, places...)...))
	user := func(dst []byte) []byte {
		dst = names(dst)
		if w.IntN(6) == 0 {
			dst = strconv.AppendInt(dst, w.Int64N(100), 10)
		}
		return dst
	}
	pid := w.counter(24200, 3)
	hosts := w.words("bastion-1", "bastion-2", "build-7")
	port := w.ints(30000, 65000)
	sessions := newRoster(w, 25, 3, 9, func() sshSession {
		return sshSession{pid(nil), user(nil), attacker(nil), port(nil), hosts(nil)}
	})
	sessions.stay = 3
	cur := sessions.next()
	w.before = append(w.before, func() { cur = sessions.next() })
	w.fields["pid"] = func(dst []byte) []byte { return append(dst, cur.pid...) }
	w.fields["user"] = func(dst []byte) []byte { return append(dst, cur.user...) }
	w.fields["ip"] = func(dst []byte) []byte { return append(dst, cur.ip...) }
	w.fields["port"] = func(dst []byte) []byte { return append(dst, cur.port...) }
	w.fields["host"] = func(dst []byte) []byte { return append(dst, cur.host...) }
	w.fields["head"] = w.compile("<host> sshd[<pid>]: ")
	when := w.time("Jan _2 15:04:05 ")
	w.fields["when"] = when
	w.fields["tries"] = w.ints(2, 6)
	w.fields["name"] = w.words("localhost", "static.example.net", "pool.example.org", "vps.example.com")
	w.fields["key"] = func(dst []byte) []byte { return w.appendBase64(append(dst, "SHA256:"...), 43) }
	w.fields["words"] = w.phrase
	w.fields["bytes"] = w.hex(12)
	return w.choose([]shape{
		{2600, "<when><head>pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=<ip>  user=<user>"},
		{2400, "<when><head>Failed password for <user> from <ip> port <port> ssh2"},
		{1300, "<when><head>Failed password for invalid user <user> from <ip> port <port> ssh2"},
		{1100, "<when><head>Received disconnect from <ip>: 11: Bye Bye [preauth]"},
		{900, "<when><head>Invalid user <user> from <ip>"},
		{900, "<when><head>input_userauth_request: invalid user <user> [preauth]"},
		{800, "<when><head>pam_unix(sshd:auth): check pass; user unknown"},
		{600, "<when><head>Connection closed by <ip> port <port> [preauth]"},
		{400, "<when><head>reverse mapping checking getaddrinfo for <name> [<ip>] failed - POSSIBLE BREAK-IN ATTEMPT!"},
		{250, "<when><head>PAM <tries> more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=<ip>  user=<user>"},
		{150, "<when><head>Disconnecting: Too many authentication failures for <user> [preauth]"},
		{120, "<when><head>message repeated <tries> times: [ Failed password for <user> from <ip> port <port> ssh2]"},
		{60, "<when><head>Accepted password for <user> from <ip> port <port> ssh2"},
		{50, "<when><head>Accepted publickey for <user> from <ip> port <port> ssh2: ED25519 <key>"},
		{60, "<when><head>pam_unix(sshd:session): session opened for user <user> by (uid=0)"},
		{60, "<when><head>pam_unix(sshd:session): session closed for user <user>"},
		{30, "<when><head>Did not receive identification string from <ip>"},
		{10, "<when><head>Bad protocol version identification '\\003<bytes>' from <ip> port <port>"},
		{4, "<when><head>error: <words>: <ip> port <port>"},
		{2, "<when><head>fatal: <words> [preauth]"},
	})
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func (w *world) appendBase64(dst []byte, n int) []byte {
	for n > 0 {
		x := w.Uint64()
		for range min(n, 10) {
			dst = append(dst, base64Digits[x&63])
			x >>= 6
		}
		n -= min(n, 10)
	}
	return dst
}

var opensshQueries = common(
	Query{Kind: StaticWord, Text: "Invalid user"},
	Query{Kind: CountWord, Text: "Invalid user"},
	Query{Kind: StaticWord, Text: "POSSIBLE BREAK-IN"},
	Query{Kind: LoneID, After: "SHA256:", Length: 43},
	Query{Kind: Partial, Text: "port 512"},
	Query{Kind: Regexp, Text: `Failed password for (invalid user )?(root|admin) from 1\d+\.`, Literal: "Failed password for "},
)
