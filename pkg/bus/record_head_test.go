package bus_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/bus"
)

// The head of a record and the record agree, whatever the bytes are; where they do not, a delivery would be lost or come twice.
func FuzzRecordHead(f *testing.F) {
	for _, body := range []string{"", "{}", strings.Repeat(" ", 1<<20), strings.Repeat("\xa5OH\x01", 3000)} {
		record := bus.AppendRecord(nil, newDelivery(body))
		f.Add(record)
		f.Add(record[:len(record)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := bus.ReadRecordHead(b)
		d, length, rerr := bus.ReadRecord(b)
		if err != nil && rerr == nil {
			t.Fatalf("a record that can be read has no head: %v", err)
		}
		if err != nil || rerr != nil {
			return // a head is no promise that what is behind it was compressed by us
		}
		if h.Length != length || h.BodySize != int64(len(d.Body)) {
			t.Errorf("%d bytes with a body of %d; its head says %d and %d", length, len(d.Body), h.Length, h.BodySize)
		}
		if d.Body = nil; !reflect.DeepEqual(*d, h.Delivery) {
			t.Errorf("%+v\n%+v", d, h.Delivery)
		}
	})
}
