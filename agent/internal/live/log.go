package live

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// quiet gives what the WebRTC library says to the log, at the level for developers: it warns of much that is usual on a bad link.
type quiet struct {
	log   *slog.Logger
	scope string
}

var _ logging.LoggerFactory = quiet{}

// NewLogger implements logging.LoggerFactory.
func (q quiet) NewLogger(scope string) logging.LeveledLogger { return quiet{log: q.log, scope: scope} }

func (q quiet) say(format string, args ...any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug("webrtc", slog.String("part", q.scope), slog.String("says", fmt.Sprintf(format, args...)))
	}
}

// The levels of the library; what it tells below a warning is left out.

func (q quiet) Trace(string)                      {}
func (q quiet) Tracef(string, ...any)             {}
func (q quiet) Debug(string)                      {}
func (q quiet) Debugf(string, ...any)             {}
func (q quiet) Info(string)                       {}
func (q quiet) Infof(string, ...any)              {}
func (q quiet) Warn(msg string)                   { q.say("%s", msg) }
func (q quiet) Warnf(format string, args ...any)  { q.say(format, args...) }
func (q quiet) Error(msg string)                  { q.say("%s", msg) }
func (q quiet) Errorf(format string, args ...any) { q.say(format, args...) }
