package service_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onhook/onhook/pkg/service"
	"go.uber.org/zap"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := service.NewLogger("info", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not this")
	log.Named("worker").Named("storage").Error("batch", zap.Error(errBroker), zap.Duration("took", 1500*time.Millisecond), zap.Int("calls", 3))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil { // one line, or there would be data after it
		t.Fatalf("%v in %s", err, &out)
	}
	ts, _ := got["ts"].(string)
	if !regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(ts) {
		t.Errorf("ts %q", ts)
	}
	if at, err := time.Parse(time.RFC3339, ts); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("ts %s, %v", ts, err)
	}
	delete(got, "ts")
	want := map[string]any{"level": "error", "logger": "worker.storage", "msg": "batch", "error": "broker is gone", "took": 1.5, "calls": 3.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoggerSamplesNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := service.NewLogger("debug", &out)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		log.Debug("the same line")
	}
	if n := strings.Count(out.String(), "\n"); n != 1000 {
		t.Errorf("%d of 1000 lines", n)
	}
}

func TestLoggerLevels(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"debug", "info", "warn", "error"} {
		if _, err := service.NewLogger(level, &bytes.Buffer{}); err != nil {
			t.Errorf("%s: %v", level, err)
		}
	}
	for _, level := range []string{"", "loud", "fatal", "INFO"} {
		if _, err := service.NewLogger(level, &bytes.Buffer{}); err == nil || err.Error() != "log: unknown level; want one of debug, info, warn, error" {
			t.Errorf("%q: %v", level, err)
		}
	}
}
