package decoder_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onhook/onhook/pkg/bus"
	"github.com/onhook/onhook/pkg/call"
	"github.com/onhook/onhook/pkg/provider"
	"github.com/onhook/onhook/schemas"
)

// TestExamples sends each provider's examples through the streams: what comes out is the golden call and where it
// came from. The examples share call ids, so each comes in by a source of its own name.
func TestExamples(t *testing.T) {
	f := setup(t)
	d := f.start()
	type sent struct {
		delivery *bus.Delivery
		seq      int
		golden   string
	}
	var want []sent
	seq, ignored, refused := 0, 0, 0
	for _, p := range provider.All() {
		files, err := fs.Glob(schemas.FS, "provider/"+p.Name+"/*.example.json")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: examples %q, %v", p.Name, files, err)
		}
		for _, file := range files {
			name := strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".example.json"), ".", "-")
			dl := newDelivery(p.Name, name, string(read(t, file)))
			f.publish(dl)
			seq++
			switch {
			case strings.HasSuffix(name, "-ignored"):
				ignored++
			case strings.HasSuffix(name, "-refused"):
				refused++
			default:
				want = append(want, sent{dl, seq, strings.TrimSuffix(file, ".example.json") + ".call.json"})
			}
		}
	}
	if ignored == 0 || refused == 0 {
		t.Fatalf("%d ignored and %d refused examples; this test needs both", ignored, refused)
	}
	got := map[string]*call.Call{}
	for _, c := range f.calls() {
		got[c.DeliveryID] = c
	}
	if len(got) != len(want) || len(f.read) != len(want) {
		t.Errorf("%d calls of %d deliveries, want %d", len(f.read), len(got), len(want))
	}
	for _, w := range want {
		var golden call.Call
		if err := json.Unmarshal(read(t, w.golden), &golden); err != nil {
			t.Fatal(err)
		}
		golden.Source = w.delivery.Source
		golden.Key = call.Key(golden.Provider, golden.Source, golden.CallID)
		golden.DeliveryID = w.delivery.ID
		golden.ReceivedAt = call.At(w.delivery.ReceivedAt)
		golden.Auth = w.delivery.Auth
		golden.BodyRef = bus.Origin{Stream: "WEBHOOKS", Seq: uint64(w.seq)}.String()
		golden.Headers = map[string]string{"content-type": "application/json", "user-agent": "sender/1"}
		if diff := cmp.Diff(tree(t, &golden), tree(t, got[w.delivery.ID])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", w.golden, diff)
		}
	}
	if n := d.count(t, "altur", "ignored"); n != ignored {
		t.Errorf("%d ignored, want %d", n, ignored)
	}
	// A refused body never gets a 200. Should one be in the stream all the same, it is kept, not taken for a call.
	dead := f.dead()
	if len(dead) != refused || slices.ContainsFunc(dead, func(d bus.Dead) bool { return d.Attempts != 1 }) {
		t.Errorf("dead %+v, want %d at the first attempt", dead, refused)
	}
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := fs.ReadFile(schemas.FS, file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tree is what c's JSON means, numbers to the digit.
func tree(t testing.TB, c *call.Call) any {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
