package loki

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
)

// jsonReader reads JSON values in order, strictly. Texts without escapes are not copied.
type jsonReader struct {
	in  []byte
	pos int
}

// jsonError is a fault in the body; where it is found is its offset.
type jsonError struct {
	pos int
	msg string
}

func (e *jsonError) Error() string { return fmt.Sprintf("%s at byte %d", e.msg, e.pos) }

func (r *jsonReader) failf(format string, args ...any) error {
	return &jsonError{r.pos, fmt.Sprintf(format, args...)}
}

func (r *jsonReader) space() {
	for r.pos < len(r.in) {
		switch r.in[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// peek returns the byte that comes after blanks, or 0.
func (r *jsonReader) peek() byte {
	r.space()
	if r.pos >= len(r.in) {
		return 0
	}
	return r.in[r.pos]
}

func (r *jsonReader) accept(c byte) bool {
	if r.peek() == c {
		r.pos++
		return true
	}
	return false
}

func (r *jsonReader) expect(c byte, what string) error {
	if r.accept(c) {
		return nil
	}
	if r.pos >= len(r.in) {
		return r.failf("unexpected end of JSON, expecting %s", what)
	}
	return r.failf("unexpected %q, expecting %s", r.in[r.pos], what)
}

// object calls f with each key; f reads the value.
func (r *jsonReader) object(what string, arena *[]byte, f func(key string) error) error {
	if err := r.expect('{', what); err != nil {
		return err
	}
	if r.accept('}') {
		return nil
	}
	for {
		key, err := r.text("a key", arena)
		if err != nil {
			return err
		}
		if err := r.expect(':', "a colon"); err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
		if r.accept('}') {
			return nil
		}
		if err := r.expect(',', "a comma or }"); err != nil {
			return err
		}
	}
}

// array calls f for each element, which f reads.
func (r *jsonReader) array(what string, f func(i int) error) error {
	if err := r.expect('[', what); err != nil {
		return err
	}
	if r.accept(']') {
		return nil
	}
	for i := 0; ; i++ {
		if err := f(i); err != nil {
			return err
		}
		if r.accept(']') {
			return nil
		}
		if err := r.expect(',', "a comma or ]"); err != nil {
			return err
		}
	}
}

// text reads a string. Escaped ones are put into arena.
func (r *jsonReader) text(what string, arena *[]byte) (string, error) {
	if err := r.expect('"', what); err != nil {
		return "", err
	}
	from := r.pos
	for i := from; i < len(r.in); i++ {
		switch c := r.in[i]; {
		case c == '"':
			r.pos = i + 1
			return validUTF8(r.in[from:i]), nil
		case c == '\\':
			return r.escaped(from, i, arena)
		case c < ' ':
			r.pos = i
			return "", r.failf("control character %#02x in a string", c)
		}
	}
	r.pos = len(r.in)
	return "", r.failf("string is not terminated")
}

func validUTF8(b []byte) string { return validText(view(b)) }

func (r *jsonReader) escaped(from, i int, arena *[]byte) (string, error) {
	out := append(*arena, r.in[from:i]...)
	start := len(*arena)
	for ; i < len(r.in); i++ {
		switch c := r.in[i]; {
		case c == '"':
			r.pos = i + 1
			*arena = out
			return validUTF8(out[start:]), nil
		case c < ' ':
			r.pos = i
			return "", r.failf("control character %#02x in a string", c)
		case c == '\\':
			var n int
			if out, n = unescape(out, r.in[i:]); n == 0 {
				r.pos = i
				return "", r.failf("bad escape in a string")
			}
			i += n - 1
		default:
			from := i
			for i+1 < len(r.in) && r.in[i+1] >= ' ' && r.in[i+1] != '"' && r.in[i+1] != '\\' {
				i++
			}
			out = append(out, r.in[from:i+1]...)
		}
	}
	r.pos = len(r.in)
	return "", r.failf("string is not terminated")
}

// unescape appends what the escape at the start of in means, and returns its length or 0.
func unescape(out, in []byte) ([]byte, int) {
	if len(in) < 2 {
		return out, 0
	}
	switch in[1] {
	case '"', '\\', '/':
		return append(out, in[1]), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		r, ok := hexRune(in)
		if !ok {
			return out, 0
		}
		if utf16.IsSurrogate(r) {
			if low, ok := hexRune(in[6:]); ok {
				if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
					return utf8.AppendRune(out, both), 12
				}
			}
			r = utf8.RuneError
		}
		return utf8.AppendRune(out, r), 6
	}
	return out, 0
}

// hexRune reads \uXXXX.
func hexRune(in []byte) (rune, bool) {
	if len(in) < 6 || in[0] != '\\' || in[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range in[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

const maxJSONDepth = 64

// skip reads a value of any kind and forgets it.
func (r *jsonReader) skip(arena *[]byte, depth int) error {
	if depth > maxJSONDepth {
		return r.failf("JSON is nested deeper than %d levels", maxJSONDepth)
	}
	switch c := r.peek(); {
	case c == '{':
		return r.object("an object", arena, func(string) error { return r.skip(arena, depth+1) })
	case c == '[':
		return r.array("an array", func(int) error { return r.skip(arena, depth+1) })
	case c == '"':
		_, err := r.text("a string", arena)
		return err
	}
	from := r.pos
	for r.pos < len(r.in) {
		switch r.in[r.pos] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return r.literal(from)
		}
		r.pos++
	}
	return r.literal(from)
}

// null reads a null, if one stands here.
func (r *jsonReader) null() bool {
	if r.peek() != 'n' || !bytes.HasPrefix(r.in[r.pos:], []byte("null")) {
		return false
	}
	r.pos += len("null")
	return true
}

// labelValue reads a string or, as Loki does for labels of a stream, a number or a word of JSON as it stands.
func (r *jsonReader) labelValue(arena *[]byte) (string, error) {
	switch r.peek() {
	case '"', '{', '[', 0:
		return r.text("a string", arena)
	}
	from := r.pos
	if err := r.skip(arena, 0); err != nil {
		return "", err
	}
	return string(r.in[from:r.pos]), nil
}

func (r *jsonReader) literal(from int) error {
	word := string(r.in[from:r.pos])
	switch word {
	case "true", "false", "null":
		return nil
	}
	if _, err := strconv.ParseFloat(word, 64); err != nil {
		r.pos = from
		return r.failf("unexpected %q, expecting a value", clip(word))
	}
	return nil
}

// json decodes a push in JSON: {"streams":[{"stream":{…},"values":[["ns","line",{…}]]}]}, or the older
// form with "labels" and "entries" of "ts" and "line".
func (d *pushDecoder) json(data []byte) error {
	r := &jsonReader{in: data}
	err := r.object("an object", &d.arena, func(key string) error {
		if key != "streams" {
			return r.skip(&d.arena, 0)
		}
		return r.array("an array of streams", func(i int) error {
			d.streams++
			if err := d.jsonStream(r); err != nil {
				return fmt.Errorf("streams[%d]: %w", i, err)
			}
			return nil
		})
	})
	if err == nil && r.peek() != 0 {
		err = r.failf("unexpected %q after the end", r.in[r.pos])
	}
	if err == nil {
		return nil
	}
	return protoError("JSON", err)
}

func (d *pushDecoder) jsonStream(r *jsonReader) error {
	if err := d.count(); err != nil {
		return err
	}
	from := len(d.entries)
	ls, text := labels.EmptyLabels(), "{}"
	var bad error
	err := r.object("a stream", &d.arena, func(key string) error {
		switch key {
		case "stream":
			d.pairs = d.pairs[:0]
			err := r.object("an object of labels", &d.arena, func(name string) error {
				if err := d.count(); err != nil {
					return err
				}
				value, err := r.labelValue(&d.arena)
				if err != nil {
					return fmt.Errorf("label %q: %w", clip(name), err)
				}
				d.pairs = append(d.pairs, logs.Label{Name: name, Value: value})
				return nil
			})
			if err != nil {
				return fmt.Errorf("stream: %w", err)
			}
			if ls, bad = logs.NewLabels(d.pairs); bad != nil {
				text = fmt.Sprint(d.pairs)
			}
			return nil
		case "labels":
			s, err := r.text("a string of labels", &d.arena)
			if err != nil {
				return err
			}
			text = s
			ls, bad = d.cache.get([]byte(s))
			return nil
		case "values":
			if r.null() {
				return nil
			}
			return r.array("an array of values", func(i int) error {
				if r.null() {
					return nil
				}
				if err := d.jsonValue(r); err != nil {
					return fmt.Errorf("values[%d]: %w", i, err)
				}
				return nil
			})
		case "entries":
			return r.array("an array of entries", func(i int) error {
				if err := d.jsonEntry(r); err != nil {
					return fmt.Errorf("entries[%d]: %w", i, err)
				}
				return nil
			})
		}
		return r.skip(&d.arena, 0)
	})
	if err != nil {
		return err
	}
	if bad != nil {
		d.badLabels(text, bad, from)
		return nil
	}
	d.addStream(ls, from)
	return nil
}

// jsonValue reads ["nanoseconds","line",{metadata}].
func (d *pushDecoder) jsonValue(r *jsonReader) error {
	if err := d.count(); err != nil {
		return err
	}
	var e logs.Entry
	from, fields := len(d.metadata), 0
	err := r.array("an array of timestamp, line and metadata", func(i int) (err error) {
		fields++
		switch i {
		case 0:
			var ts string
			if ts, err = r.text("a string of Unix nanoseconds", &d.arena); err != nil {
				return fmt.Errorf("timestamp: %w", err)
			}
			if e.Timestamp, err = strconv.ParseInt(ts, 10, 64); err != nil {
				return fmt.Errorf("timestamp %q is not an integer of Unix nanoseconds", clip(ts))
			}
		case 1:
			if e.Line, err = r.text("a string", &d.arena); err != nil {
				return fmt.Errorf("line: %w", err)
			}
		case 2:
			return d.jsonMetadata(r)
		default:
			return r.failf("more than a timestamp, a line and metadata")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if fields < 2 {
		return r.failf("it has %d elements, a timestamp and a line are needed", fields)
	}
	e.Metadata = d.metadata[from:len(d.metadata):len(d.metadata)]
	d.entries = append(d.entries, e)
	return nil
}

func (d *pushDecoder) jsonMetadata(r *jsonReader) error {
	return r.object("an object of structured metadata", &d.arena, func(name string) error {
		if err := d.count(); err != nil {
			return err
		}
		value, err := r.text("a string", &d.arena)
		if err != nil {
			return fmt.Errorf("structured metadata %q: %w", clip(name), err)
		}
		d.metadata = append(d.metadata, logs.Label{Name: name, Value: value})
		return nil
	})
}

// jsonEntry reads {"ts":"2026-01-15T00:00:00Z","line":"…"}.
func (d *pushDecoder) jsonEntry(r *jsonReader) error {
	if err := d.count(); err != nil {
		return err
	}
	var e logs.Entry
	seen, from := false, len(d.metadata)
	err := r.object("an entry", &d.arena, func(key string) error {
		switch key {
		case "ts", "timestamp":
			text, err := r.text("a string of RFC 3339 time", &d.arena)
			if err != nil {
				return err
			}
			t, err := time.Parse(time.RFC3339Nano, text)
			if err != nil || t.Year() < 1678 || t.Year() > 2261 {
				return fmt.Errorf("timestamp %q is not an RFC 3339 time", clip(text))
			}
			e.Timestamp, seen = t.UnixNano(), true
			return nil
		case "line":
			var err error
			e.Line, err = r.text("a string", &d.arena)
			return err
		case "structuredMetadata":
			return d.jsonMetadata(r)
		}
		return r.skip(&d.arena, 0)
	})
	if err != nil {
		return err
	}
	if !seen {
		return fault.Errorf(fault.Invalid, "the entry has no ts")
	}
	e.Metadata = d.metadata[from:len(d.metadata):len(d.metadata)]
	d.entries = append(d.entries, e)
	return nil
}
