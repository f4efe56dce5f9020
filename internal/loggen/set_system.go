package loggen

import (
	"fmt"
	"strconv"
)

// mac imitates the system log of a computer with a desktop: many programs, many words.
func mac(w *world) field {
	f := w.fields
	f["when"] = w.time("Jan _2 15:04:05")
	f["host"] = w.words("calypso-10-105-160-95", "calypso", "authorized-4")
	w.programs()
	f["n"] = w.population(300, 1.3, w.sizes(90))
	f["hex8"] = w.hex(8)
	f["ptr"] = w.shared(200, 3, 20, func(dst []byte) []byte { return w.appendHex(append(dst, "0x7f"...), 10) })
	f["ip"] = w.population(300, 1.1, w.addresses("17.57."))
	f["uuid"] = w.shared(60, 2, 10, w.appendUUID)
	f["bundle"] = w.population(120, 1.2, w.bundles())
	f["float"] = w.decimals(3, 3, false)
	f["bool"] = w.any("YES", "NO")
	f["class"] = w.zipfOf(1.2, list(90, func(dst []byte) []byte { return append(dst, w.camel()...) }))
	f["noun"] = w.zipfOf(1.2, nouns)
	f["free"] = w.phrase
	f["head"] = w.compile("<when> <host> ")
	shapes := settled(8, 4, []shape{
		{9000, "<head>kernel[0]: ARPT: <n>.<hex8>: wl0: <NAME>: peer <ip> <NOUN> seq <n>, ack <n>, win size <n>"},
		{6000, "<head><PROGRAM>: -[<NAME> <NAME>:]: <PHRASE> for client <uuid> (<bundle>)"},
		{5000, "<head>com.apple.xpc.launchd[1] (<bundle>): Service exited with abnormal code: <n>"},
		{4000, "<head><PROGRAM>: objc[<n>]: Class <class> is implemented in both <ptr> and <ptr>. One of the two will be used. Which one is undefined."},
		{3500, "<head>kernel[0]: IO<NAME>::<NAME> - <noun> <PHRASE>, power state <n>, flags 0x<hex8>"},
		{3000, "<head>WindowServer[184]: send_datagram_available_ping: pid <n> failed to act on a ping it dequeued before timing out."},
		{2500, "<head><PROGRAM>: tcp_connection_tls_session_error_callback_imp <n> __tcp_connection_tls_session_callback_write_block_invoke.<n> error <n>"},
		{2000, "<head><PROGRAM>: <NAME> <noun>: (Error) <PHRASE>: Error Domain=NSURLErrorDomain Code=-<n> \"The network connection was lost.\" UserInfo={_kCFStreamErrorCodeKey=<n>}"},
		{1500, "<head>sandboxd[129] ([<n>]): <PROGRAM>(<n>) deny network-outbound /private/var/run/<noun>"},
		{1500, "<head>Wi-Fi[<n>]: [<float>] <NAME> <PHRASE> rssi=-<n> channel=<n> ssid=<noun>"},
		{60, "<head><PROGRAM>: <free>, <free>, <free>"},
	})
	return w.bursts(3, append(shapes, invent(5, 260, 22000, "<head><PROGRAM>: ", "", "<n>", "<uuid>", "<bundle>", "<float>", "<bool>", "<class>", "<ip>", "<ptr>")...))
}

// programs is how many have a field of programs.
const programs = 70

// programs sets the fields program0, program1, …: names with the number of the process, which changes
// when one is started anew.
func (w *world) programs() {
	names := &world{Rand: rng(0, programs)}
	for i := range programs {
		name, pid := names.camel(), 80+w.Int64N(60000)
		w.fields[fmt.Sprintf("program%d", i)] = func(dst []byte) []byte {
			if w.IntN(300) == 0 {
				pid = 80 + w.Int64N(60000)
			}
			return append(strconv.AppendInt(append(append(dst, name...), '['), pid, 10), ']')
		}
	}
}

func (w *world) bundles() field {
	return func(dst []byte) []byte {
		dst = append(append(dst, "com.example."...), nouns[w.IntN(len(nouns))]...)
		return append(append(dst, '.'), nouns[w.IntN(len(nouns))]...)
	}
}

var macQueries = common(
	Query{Kind: StaticWord, Text: "abnormal code"},
	Query{Kind: CountWord, Text: "abnormal code"},
	Query{Kind: StaticWord, Text: "dequeued before"},
	Query{Kind: LoneID, After: "for client ", Length: 36},
	Query{Kind: Partial, Text: "17.57.8"},
	Query{Kind: Regexp, Text: `rssi=-\d+ channel=1\d `, Literal: " channel=1"},
)

// android imitates the log of a telephone: hundreds of short messages of many tags.
func android(w *world) field {
	f := w.fields
	f["when"] = w.time("01-02 15:04:05.000")
	w.threads()
	f["n"] = w.population(120, 1.4, w.sizes(60))
	f["ms"] = w.counter(261_840_000, 9)
	f["hex7"] = w.shared(15, 8, 40, w.hex(7))
	f["bool"] = w.any("true", "false")
	f["x"] = w.decimals(300, 1, false)
	f["bundle"] = w.population(90, 1.4, w.bundles())
	f["uid"] = w.words("10113", "1000", "10111", "10029", "1001")
	f["free"] = w.phrase
	f["head"] = w.compile("<when> <ids> ")
	shapes := settled(9, 3, []shape{
		{5000, "<head>D PowerManagerService: acquire lock=<hex7>, flags=0x1, tag=\"<NAME>\", name=<bundle>, ws=null, uid=<uid>, pid=<n>"},
		{5000, "<head>D PowerManagerService: release:lock=<hex7>, flg=0x0, tag=\"<NAME>\", name=<bundle>\", ws=null, uid=<uid>, pid=<n>"},
		{4000, "<head>V WindowManager: Skipping AppWindowToken{<hex7> token=Token{<hex7> ActivityRecord{<hex7> u0 <bundle>/.Main t<n>}}} -- going to hide"},
		{3500, "<head>I PhoneStatusBar: setSystemUiVisibility vis=<n> mask=ffffffff oldVal=<n> newVal=<n> diff=<n> fullscreenStackVis=<n>"},
		{3000, "<head>D SensorManager: <NAME> event x=<x> y=<x> t=<ms>"},
		{2500, "<head><LEVEL> <NAME>: <NAME>:<bool>, <NAME>:<n>"},
		{30, "<head>E <NAME>: <free> (<free>)"},
	})
	return w.bursts(3, append(shapes, invent(6, 420, 24000, "<head><LEVEL> <NAME>: ", "", "<n>", "<hex7>", "<bool>", "<bundle>", "<x>", "<n>", "<n>", "<ms>")...))
}

// threads sets the field ids, process and thread. One thread has a few lines in a row.
func (w *world) threads() {
	all := list(160, func(dst []byte) []byte {
		pid := 900 + w.Int64N(40)*611
		dst = strconv.AppendInt(append(dst, ' '), pid, 10)
		return strconv.AppendInt(append(dst, "  "...), pid+w.Int64N(60), 10)
	})
	next := w.zipf(len(all), 1.15)
	cur := all[0]
	w.before = append(w.before, func() {
		if w.IntN(3) == 0 {
			cur = all[next()]
		}
	})
	w.fields["ids"] = func(dst []byte) []byte { return append(dst, cur...) }
}

var androidQueries = common(
	Query{Kind: StaticWord, Text: "going to hide"},
	Query{Kind: CountWord, Text: "going to hide"},
	Query{Kind: LoneID, After: " t=", Length: 9},
	Query{Kind: FieldText, Text: "uid=10029"},
	Query{Kind: Partial, Text: "lock=a7"},
	Query{Kind: Regexp, Text: `uid=1000, pid=\d{3}$`, Literal: "uid=1000, pid="},
)
