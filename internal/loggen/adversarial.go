package loggen

import "bytes"

// base64Lines are lines of encoded random bytes: six bits of entropy in each.
func base64Lines(w *world) field {
	return func(dst []byte) []byte { return w.appendBase64(dst, 40+w.IntN(200)) }
}

// randomLines are random bytes, all but the newline: neither text nor UTF-8, and nothing to compress.
func randomLines(w *world) field {
	return func(dst []byte) []byte {
		at := len(dst)
		for n := 50 + w.IntN(300); len(dst)-at < n; {
			x := w.Uint64()
			for range 8 {
				dst = append(dst, byte(x))
				x >>= 8
			}
		}
		for i := at; i < len(dst); i++ {
			if dst[i] == '\n' {
				dst[i] = ' '
			}
		}
		return dst
	}
}

// saladLines are words and numbers without any order: every line is a shape of its own.
func saladLines(w *world) field {
	word := w.zipfOf(1.02, vocabulary(20000))
	number := w.sizes(5000)
	return func(dst []byte) []byte {
		for range 4 + w.IntN(22) {
			switch w.IntN(9) {
			case 0:
				dst = number(dst)
			case 1:
				dst = append(word(append(dst, '(')), "):"...)
			default:
				dst = word(dst)
			}
			dst = append(dst, "     ,;=-/"[w.IntN(10)])
		}
		return dst
	}
}

// oneOffLines come from templates that are used one to three times and then never again, such as the
// messages of a program that prints its whole state in words.
func oneOffLines(w *world) field {
	w.fields["n"] = w.sizes(50)
	w.fields["hex"] = w.hex(8)
	names := []string{" <n>", "=<n>", " 0x<hex>", ": ", ", ", " -> "}
	var template field
	left := 0
	return func(dst []byte) []byte {
		if left == 0 {
			b := w.phrase(nil)
			for range 1 + w.IntN(5) {
				b = w.phrase(append(append(b, names[w.IntN(len(names))]...), ' '))
			}
			template, left = w.compile(string(b)), 1+w.IntN(3)
		}
		left--
		return template(dst)
	}
}

// longLines are ordinary short lines, and one in a thousand of about a megabyte, half of those of one
// repeated piece, as a dump of a request is.
func longLines(w *world) field {
	short := jsonLines(w)
	return func(dst []byte) []byte {
		if w.IntN(1000) > 0 {
			return short(dst)
		}
		n := 1<<20 - w.IntN(1<<18)
		dst = append(dst, `{"level":"debug","msg":"request dump","body":"`...)
		if w.IntN(2) == 0 {
			dst = w.appendBase64(dst, n)
		} else {
			piece := w.appendHex(w.phrase(nil), 16)
			dst = append(dst, bytes.Repeat(piece, n/len(piece))...)
		}
		return append(dst, `"}`...)
	}
}

// vocabulary returns n words of syllables; the same for every seed.
func vocabulary(n int) []string {
	r := rng(0, 0x766f63)
	out := make([]string, n)
	var b []byte
	for i := range out {
		b = b[:0]
		for range 2 + r.IntN(4) {
			b = append(b, "bcdfghjklmnprstvwz"[r.IntN(18)], "aeiouy"[r.IntN(6)])
			if r.IntN(3) == 0 {
				b = append(b, "lnrst"[r.IntN(5)])
			}
		}
		out[i] = string(b)
	}
	return out
}

var (
	noiseQueries = common(Query{Kind: Partial, Text: "aZ9"})
	saladQueries = common(Query{Kind: Partial, Text: "tarin"}, Query{Kind: Regexp, Text: `\(\w+\):-\d+`, Literal: "):-"})
	wordQueries  = common(Query{Kind: StaticWord, Text: "stale lease"}, Query{Kind: Regexp, Text: `timer \w+ed by`, Literal: "timer "})
	longQueries  = common(Query{Kind: StaticWord, Text: "request dump"}, Query{Kind: LoneID, After: `"span_id":"`, Length: 16})
)
