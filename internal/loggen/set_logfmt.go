package loggen

// logfmtLines imitates services that log in logfmt.
func logfmtLines(w *world) field {
	w.requests()
	f := w.fields
	f["ts"] = w.time("2006-01-02T15:04:05.000Z")
	f["component"] = w.zipfOf(1.3, nouns[:40])
	f["duration"] = w.durations()
	f["latency"] = w.decimals(12, 2, false)
	f["status"] = w.statuses()
	f["bytes"] = w.sizes(9000)
	f["span"] = w.hex(16)
	f["fp"] = w.shared(400, 1, 4, w.hex(16))
	f["ip"] = w.population(300, 1.1, w.addresses("10.0."))
	f["port"] = w.ints(1024, 65535)
	f["n"] = w.sizes(40)
	f["float"] = w.decimals(0.4, 6, true)
	f["offset"] = w.counter(88_000_000, 90)
	f["uuid"] = w.appendUUID
	f["words"] = w.phrase
	f["hex"] = w.hex(10)
	f["err"] = w.choose([]shape{
		{5, `err="context canceled"`}, {4, `err="rpc error: code = Unavailable desc = connection error: dial tcp <ip>:<port>: connect: refused"`},
		{3, `err=EOF`}, {2, `err="write tcp <ip>:<port>->10.0.0.1:9095: broken pipe"`}, {1, `err="<words>: <words>"`},
		{1, `err="<words>" stack="goroutine <n> [running]:\nmain.serve(0xc000<hex>)\n\t/src/main.go:<n> +0x1f"`},
	})
	f["head"] = w.compile("ts=<ts>")
	shapes := settled(10, 3, []shape{ // each message is logged in a few places
		{30000, `<head> caller=<NOUN>.go:<LINE> level=info component=<component> method=<method> path=<path> status=<status> duration=<duration> bytes=<bytes> traceID=<trace> spanID=<span> tenant=<tenant> msg="request served"`},
		{14000, `<head> caller=<NOUN>.go:<LINE> level=debug component=<component> tenant=<tenant> traceID=<trace> latency_ms=<latency> fp=<fp> msg="stream flushed" chunks=<n> bytes=<bytes>`},
		{9000, `<head> caller=<NOUN>.go:<LINE> level=info tenant=<tenant> traceID=<trace> query="sum(rate({app=\"<component>\"}[5m]))" duration=<duration> splits=<n> returned=<n> throughput=<bytes> msg="query done"`},
		{6000, `<head> caller=<NOUN>.go:<LINE> level=info component=<component> peer=<ip>:<port> offset=<offset> lag=<n> ratio=<float> msg="replica caught up"`},
		{4000, `<head> caller=<NOUN>.go:<LINE> level=warn component=<component> tenant=<tenant> user=<user> traceID=<trace> msg="rate limited" limit=<n> burst=<bytes>`},
		{3500, `<head> caller=<NOUN>.go:<LINE> level=error component=<component> method=<method> path=<path> status=500 duration=<duration> traceID=<trace> msg="request failed" <err>`},
		{2000, `<head> caller=<NOUN>.go:<LINE> level=info msg="block uploaded" id=<uuid> size=<bytes> took=<duration> level=<n>`},
		{1000, `<head> caller=<NOUN>.go:<LINE> level=debug msg="" empty= component=<component> n=<n>`},
		{300, `<head> caller=<NOUN>.go:<LINE> level=warn msg="<words>" <err>`},
		{30, `<head> caller=<NOUN>.go:<LINE> level=error <words>`}, // no pairs: somebody forgot the quotes
	})
	shapes = append(shapes, invent(2, 40, 5000, `<head> caller=<NOUN>.go:<LINE> level=info component=<component> msg="`, `" traceID=<trace> took=<duration>`, "<n>", "<ip>", "<float>")...)
	return w.choose(shapes)
}

// durations makes a field of durations as Go prints them.
func (w *world) durations() field {
	micros, millis, seconds := w.decimals(300, 3, true), w.decimals(25, 6, true), w.decimals(1.5, 9, true)
	return func(dst []byte) []byte {
		switch w.IntN(20) {
		case 0:
			return append(seconds(dst), 's')
		case 1, 2, 3, 4, 5, 6:
			return append(micros(dst), "µs"...)
		}
		return append(millis(dst), "ms"...)
	}
}

var logfmtQueries = common(
	Query{Kind: FieldText, Text: "level=error"},
	Query{Kind: CountWord, Text: "request served"},
	Query{Kind: StaticWord, Text: "replica caught up"},
	Query{Kind: LoneID, After: "fp=", Length: 16},
	Query{Kind: LoneID, After: "traceID=", Length: 32},
	Query{Kind: StaticWord, Text: "context canceled"},
	Query{Kind: Partial, Text: "tenant-17"},
	Query{Kind: Regexp, Text: `duration=\d+\.\d+s`, Literal: "duration="},
	Query{Kind: NumericFilter, Parser: "logfmt", Field: "status", Least: 500, Marker: " status="},
	Query{Kind: UnwrapSum, Parser: "logfmt", Field: "latency_ms", Marker: " latency_ms="},
)
