package service

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// levels from which a log can start; zap's others (dpanic, panic, fatal) would hide errors.
var levels = []string{"debug", "info", "warn", "error"}

// LogConfig is the section log.
type LogConfig struct {
	Level string `yaml:"level"` // debug, info, warn or error
}

// DefaultLogConfig logs from info on.
func DefaultLogConfig() LogConfig { return LogConfig{Level: "info"} }

// Validate checks the level.
func (c *LogConfig) Validate() error {
	if !slices.Contains(levels, c.Level) {
		return fmt.Errorf("unknown level; want one of %s", strings.Join(levels, ", "))
	}
	return nil
}

// NewLogger logs JSON lines to w: ts (RFC 3339, UTC, milliseconds), level, logger, msg, error, durations in seconds.
// Nothing is sampled: a line that is missing in a log that counts deliveries is a lie. Errors carry no stack traces,
// as they are about brokers and sinks rather than about our code; panics are logged with theirs by Run.
func NewLogger(level string, w io.Writer) (*zap.Logger, error) {
	if err := (&LogConfig{Level: level}).Validate(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	out := zapcore.Lock(zapcore.AddSync(w))
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoding), out, parsed)
	return zap.New(core, zap.ErrorOutput(out), zap.AddStacktrace(zap.DPanicLevel)), nil
}
