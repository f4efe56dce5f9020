package ring

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	gokitlog "github.com/go-kit/log"
)

// kitLogger writes the library's lines to our log, one level lower: what it calls information is about its
// workings, and what it calls an error it tries again.
type kitLogger struct{ to *slog.Logger }

// Log implements log.Logger of go-kit.
func (l kitLogger) Log(pairs ...any) error {
	level, message, stopped := slog.LevelDebug, "cluster", false
	args := make([]any, 0, len(pairs))
	for i := 0; i+1 < len(pairs); i += 2 {
		key, value := fmt.Sprint(pairs[i]), pairs[i+1]
		switch key {
		case "level":
			if text := fmt.Sprint(value); text == "error" || text == "warn" {
				level = slog.LevelWarn
			}
		case "msg":
			message = fmt.Sprint(value)
		case "ts", "caller":
		default:
			if err, ok := value.(error); ok && strings.Contains(err.Error(), context.Canceled.Error()) {
				stopped = true // what a stop interrupts is no fault; the library doesn't wrap it
			}
			args = append(args, key, value)
		}
	}
	if stopped {
		level = slog.LevelDebug
	}
	l.to.Log(context.Background(), level, message, args...)
	return nil
}

var _ gokitlog.Logger = kitLogger{}
