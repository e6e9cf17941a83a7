package row_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/store/internal/row"
	"github.com/onhook/onhook/pkg/store/storetest"
)

// BenchmarkNewBatch is what storage does of a batch but for the bus and the engine: 100 messages of CALLS become rows.
func BenchmarkNewBatch(b *testing.B) {
	messages := make([][]byte, 100)
	for i := range messages {
		var err error
		if messages[i], err = json.Marshal(storetest.Full(fmt.Sprint("call-", i))); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(messages[i])) * int64(len(messages)))
	}
	b.ReportAllocs()
	for b.Loop() {
		calls := make([]*call.Raw, len(messages))
		for i, m := range messages {
			calls[i] = new(call.Raw)
			if err := json.Unmarshal(m, calls[i]); err != nil {
				b.Fatal(err)
			}
		}
		if n := len(row.NewBatch(calls, 1024).Rows); n != len(calls) {
			b.Fatal(n)
		}
	}
}
