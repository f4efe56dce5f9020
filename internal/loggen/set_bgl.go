package loggen

import "strconv"

// bgl imitates the log of a large parallel computer: locations, registers, counts of errors.
func bgl(w *world) field {
	f := w.fields
	f["epoch"] = func(dst []byte) []byte { return strconv.AppendInt(dst, w.now.Unix(), 10) }
	f["day"] = w.time("2006.01.02")
	f["when"] = w.time("2006-01-02-15.04.05.000000")
	nodes := w.population(3000, 1.05, w.nodes())
	here := nodes(nil)
	w.before = append(w.before, func() {
		if w.IntN(2) == 0 { // a node that has trouble says so several times
			here = nodes(here[:0])
		}
	})
	f["node"] = func(dst []byte) []byte { return append(dst, here...) }
	f["alert"] = w.words("-", "-", "-", "-", "KERNDTLB", "APPSEV", "KERNSTOR")
	f["addr"] = func(dst []byte) []byte { return w.appendHex(append(dst, "0x"...), 8) }
	f["reg"] = w.hex(8)
	f["few"] = w.ints(0, 31)
	f["rank"] = w.ints(0, 1)
	f["sym"] = w.ints(0, 35)
	f["mask"] = func(dst []byte) []byte { return w.appendHex(append(dst, "0x"...), 2) }
	f["core"] = w.counter(2000, 2)
	f["n"] = w.sizes(120)
	f["big"] = w.ints(1<<20, 1<<32)
	f["port"] = w.ints(32000, 61000)
	f["ip"] = w.population(200, 1.1, w.addresses("172.16."))
	f["path"] = w.population(80, 1.2, w.pages())
	f["words"] = w.phrase
	f["info"] = w.compile("<alert> <epoch> <day> <node> <when> <node> RAS KERNEL INFO ")
	f["fatal"] = w.compile("<alert> <epoch> <day> <node> <when> <node> RAS KERNEL FATAL ")
	f["app"] = w.compile("<alert> <epoch> <day> <node> <when> <node> RAS APP FATAL ")
	shapes := []shape{
		{6000, "<info>generating core.<core>"},
		{4500, "<info>CE sym <sym>, at <addr>, mask <mask>"},
		{4000, "<info><n> floating point alignment exceptions"},
		{3500, "<info>iar <reg> dear <reg>"},
		{3000, "<info>lr:<reg> cr:<reg> xer:<reg> ctr:<reg>"},
		{2500, "<info>r<few>=<addr> r<few>=<addr> r<few>=<addr> r<few>=<addr>"},
		{2500, "<info><n> ddr errors(s) detected and corrected on rank <rank>, symbol <sym>, bit <few>"},
		{2000, "<info>instruction cache parity error corrected"},
		{2000, "<fatal>data TLB error interrupt"},
		{1500, "<info>total of <n> ddr error(s) detected and corrected over <big> seconds"},
		{1500, "<info><n> torus receiver <few> input pipe error(s) (dcr 0x02ec) detected and corrected over <n> seconds"},
		{1200, "<app>ciod: failed to read message prefix on control stream (CioStream socket to <ip>:<port>"},
		{900, "<app>ciod: Error loading <path>: invalid or missing program image, Permission denied"},
		{700, "<fatal>rts: kernel terminated for reason <n>"},
		{500, "<info>MidplaneSwitchController::clearPort() bll_clear_port failed: <node>-L<few>-U<few>"},
		{10, "<fatal><words>: <words>"},
	}
	return w.bursts(3, append(shapes, invent(7, 90, 6000, "<info>", "", "<n>", "<addr>", "<few>", "<big>", "<reg>")...))
}

// nodes makes a field of places in the machine room, such as R02-M1-N0-C:J12-U11.
func (w *world) nodes() field {
	return func(dst []byte) []byte {
		dst = appendPadded(append(dst, 'R'), w.Int64N(64), 2)
		dst = strconv.AppendInt(append(dst, "-M"...), w.Int64N(2), 10)
		dst = append(dst, "-N"...)
		dst = append(dst, "0123456789ABCDEF"[w.IntN(16)])
		dst = appendPadded(append(dst, "-C:J"...), 2+w.Int64N(16), 2)
		return appendPadded(append(dst, "-U"...), 1+10*w.Int64N(2), 2)
	}
}

var bglQueries = common(
	Query{Kind: StaticWord, Text: "parity error"},
	Query{Kind: CountWord, Text: "parity error"},
	Query{Kind: StaticWord, Text: "APP FATAL"},
	Query{Kind: LoneID, After: "dear ", Length: 8},
	Query{Kind: Partial, Text: "R02-M1"},
	Query{Kind: Partial, Text: "0x0b"},
	Query{Kind: Regexp, Text: `r\d+=0x00[0-9a-f]{6} `, Literal: "=0x00"},
)
