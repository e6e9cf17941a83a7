package decoder_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/onhook/onhook/pkg/natsembed"
)

// A body that no message can hold becomes a call as any other. So do several, which are not all in memory at once.
func TestLargeBodiesBecomeCalls(t *testing.T) {
	f := setup(t)
	want := map[string]string{} // call id to the SHA-256 of its body
	for i := range 3 {
		id := fmt.Sprintf("large-%d", i)
		body := strings.TrimSuffix(cllrBody(id), "}") + `,"more":"` + strings.Repeat("ñ", natsembed.MaxPayload/2) + `"}`
		sum := sha256.Sum256([]byte(body))
		want[id] = hex.EncodeToString(sum[:])
		f.publish(newDelivery("cllr", "leads", body), newDelivery("cllr", "leads", cllrBody(fmt.Sprintf("small-%d", i))))
	}
	f.start()
	f.waitSettled()
	calls := f.calls()
	if len(calls) != 6 {
		t.Errorf("%d calls", len(calls))
	}
	for _, c := range calls {
		if sum, ok := want[c.CallID]; ok && c.BodySHA256 != sum {
			t.Errorf("%s: body %s, want %s", c.CallID, c.BodySHA256, sum)
		}
	}
}
