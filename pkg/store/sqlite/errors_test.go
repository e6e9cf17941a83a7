package sqlite

import (
	"context"
	"errors"
	"testing"

	"github.com/onhook/onhook/pkg/retry"
)

// A save that ran out of time once counted against its calls, when the transaction was rolled back between two of them: the
// next statement was then closed, as database/sql says.
func TestWhatFailsOnceTheTimeIsOutIsAnOutage(t *testing.T) {
	t.Parallel()
	closed := errors.New("sql: statement is closed")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, want := range map[context.Context]retry.Kind{t.Context(): retry.Again, over: retry.Paused} {
		if kind, _ := retry.Classify(classify(ctx, closed, "save calls")); kind != want {
			t.Errorf("kind %v, want %v", kind, want)
		}
	}
	if err := classify(over, nil, "save calls"); err != nil {
		t.Error(err)
	}
}
