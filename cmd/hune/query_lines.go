package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// linePrinter prints log lines: the lines alone if raw, else with their time and labels.
type linePrinter struct {
	w                    io.Writer
	raw, color, terminal bool
}

// Colours of a terminal: escape sequences that switch them on.
const (
	colorOff    = "\x1b[0m"
	colorTime   = "\x1b[2m"
	colorLabels = "\x1b[36m"
	colorError  = "\x1b[31m"
	colorWarn   = "\x1b[33m"
	colorInfo   = "\x1b[32m"
	colorDebug  = "\x1b[34m"
)

func (p *linePrinter) streams(result json.RawMessage) error {
	var streams []logStream
	if err := json.Unmarshal(result, &streams); err != nil {
		return err
	}
	lines, err := linesOf(streams)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := p.print(l); err != nil {
			return err
		}
	}
	return nil
}

func (p *linePrinter) print(l logLine) error {
	if p.raw {
		_, err := fmt.Fprintln(p.w, l.line)
		return err
	}
	line := l.line
	if p.terminal {
		line = visible(line)
	}
	at := p.in(colorTime, time.Unix(0, l.ns).Format(timeFormat))
	_, err := fmt.Fprintf(p.w, "%s  %s  %s\n", at, p.in(colorLabels, labelText(l.stream)), p.in(levelColor(l.stream), line))
	return err
}

func (p *linePrinter) in(color, text string) string {
	if !p.color || color == "" || text == "" {
		return text
	}
	return color + text + colorOff
}

// levelColor is the colour of an entry's level; none if it has no known level.
func levelColor(stream map[string]string) string {
	level := stream["level"]
	if level == "" {
		level = stream["detected_level"]
	}
	switch strings.ToLower(level) {
	case "fatal", "critical", "error", "err":
		return colorError
	case "warn", "warning":
		return colorWarn
	case "info":
		return colorInfo
	case "debug", "trace":
		return colorDebug
	}
	return ""
}

// visible writes control characters, but tabs, as Go does: a line must not steer the terminal that it is shown on.
func visible(line string) string {
	control := func(r rune) bool { return r != '\t' && (unicode.IsControl(r) || r == utf8.RuneError) }
	if strings.IndexFunc(line, control) < 0 {
		return line
	}
	var b strings.Builder
	for _, r := range line {
		if control(r) {
			quoted := fmt.Sprintf("%q", r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
